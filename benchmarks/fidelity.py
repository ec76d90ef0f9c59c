"""How near the simulator comes to measured vLLM logs: fit and replay each, and predict the second half from the first.

    python benchmarks/fidelity.py [LOG ...]

Without logs it takes vllm_measured_*.jsonl of ../shared/data/extras. The targets: mean, p50 and p90 of end-to-end
latency within 2 % and mean TTFT within 5 % of the log, within 4 % and 8 % where the replay preempts because memory
binds; everything within 10 % on the half that the fit has not seen. Exit code 1 when one is missed.
"""

import sys
import time
from pathlib import Path

from shadowprice.calibrate import Fit, fit, with_unseen_half
from shadowprice.workload import read_measured

EXTRAS = Path(__file__).parents[1] / ".." / "shared" / "data" / "extras"


def missed(fitted: Fit) -> list[str]:
    """The targets that a fit misses, in words."""
    binds = fitted.limits["kv_tokens"].how == "inferred"
    e2e, ttft = (0.04, 0.08) if binds else (0.02, 0.05)
    bounds = [("e2e", which, e2e) for which in ("mean", "p50", "p90")] + [("ttft", "mean", ttft)]
    wrong = [
        f"{name} {which} {fitted.errors[name][which]:+.2%}, target {bound:.0%}"
        for name, which, bound in bounds
        if abs(fitted.errors[name][which]) > bound
    ]
    unseen = fitted.unseen or {}
    wrong += [
        f"unseen half: {name} {which} {error:+.2%}, target 10%"
        for name, statistics in unseen.items()
        for which, error in statistics.items()
        if abs(error) > 0.10
    ]
    return wrong


def main() -> int:
    """Print fit and targets of each log."""
    logs = [Path(argument) for argument in sys.argv[1:]] or sorted(EXTRAS.glob("vllm_measured_*.jsonl"))
    if not logs:
        print(f"no logs given, and none in {EXTRAS}", file=sys.stderr)
        return 2
    code = 0
    for path in logs:
        log = read_measured(path)
        start = time.perf_counter()
        fitted = with_unseen_half(fit(log), log)
        print(f"{path.name} ({time.perf_counter() - start:.1f} s for both fits)\n{fitted}\n")
        wrong = missed(fitted)
        print("  targets met\n" if not wrong else "  MISSED: " + "; ".join(wrong) + "\n")
        code = max(code, 1 if wrong else 0)
    return code


if __name__ == "__main__":
    sys.exit(main())
