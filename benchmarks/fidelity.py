"""How near the simulator comes to measured vLLM logs: fit and replay each, and predict the second half from the first.

    python benchmarks/fidelity.py [LOG ...]

Without logs it takes vllm_measured_*.jsonl of ../shared/data/extras. The targets: mean, p50 and p90 of end-to-end
latency within 2 % and mean TTFT within 5 % of the log, within 4 % and 8 % where the replay preempts because memory
binds; everything within 10 % on the half that the fit has not seen. Exit code 1 when one is missed.
"""

import sys
import time
from pathlib import Path

from promises import Promise, at_most, conclude

from shadowprice.calibrate import Fit, fit, with_unseen_half
from shadowprice.workload import read_measured

EXTRAS = Path(__file__).parents[1] / ".." / "shared" / "data" / "extras"


def promises(name: str, fitted: Fit) -> list[Promise]:
    """The targets of a fit: its errors, and the largest on the half that it has not seen."""
    binds = fitted.limits["kv_tokens"].how == "inferred"
    e2e, ttft = (0.04, 0.08) if binds else (0.02, 0.05)
    bounds = [("e2e", which, e2e) for which in ("mean", "p50", "p90")] + [("ttft", "mean", ttft)]
    seen = [
        at_most(f"{name}: error of {part} {which}", 100 * abs(fitted.errors[part][which]), 100 * bound, "%")
        for part, which, bound in bounds
    ]
    unseen = [abs(error) for statistics in (fitted.unseen or {}).values() for error in statistics.values()]
    if unseen:
        seen.append(at_most(f"{name}: largest error on the unseen half", 100 * max(unseen), 10.0, "%"))
    return seen


def main() -> int:
    """Print fit and targets of each log."""
    logs = [Path(argument) for argument in sys.argv[1:]] or sorted(EXTRAS.glob("vllm_measured_*.jsonl"))
    if not logs:
        return conclude([at_most("errors of the replayed logs", f"needs logs, none in {EXTRAS}", 2.0, "%")])
    targets = []
    for path in logs:
        log = read_measured(path)
        start = time.perf_counter()
        fitted = with_unseen_half(fit(log), log)
        print(f"{path.name} ({time.perf_counter() - start:.1f} s for both fits)\n{fitted}\n")
        targets += promises(path.stem.removeprefix("vllm_measured_"), fitted)
    return conclude(targets)


if __name__ == "__main__":
    sys.exit(main())
