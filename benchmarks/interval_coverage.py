"""How often the interval of a p99 TTFT holds the truth, and what closing an open end by batch means would cost.

    python benchmarks/interval_coverage.py

80 traces of each kind on one worker; the truth is the p99 of all of them together. The interval is that of
`capacity/interval.py`, whose upper end is open where the trace says nothing beyond the quantile. Closed: such an end
is replaced by that of sectioning (batch quantiles of 8 windows around the whole one's, on the log scale).
"""

from functools import partial

import numpy as np
from scipy.stats import t as student

from shadowprice.capacity import stability
from shadowprice.capacity.interval import quantile_interval, windows
from shadowprice.fleet import read_fleet
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate import simulate
from shadowprice.workload import (
    PRESETS,
    Trace,
    gamma_arrivals,
    generate,
    lognormal_lengths,
    poisson_arrivals,
    scale_rate,
)

WORKER = read_fleet("llama-3.1-8b-h100").worker
KINDS = (
    ("poisson", 0.7, 3000),
    ("poisson", 0.9, 8000),
    ("gamma", 0.8, 6000),
    ("azure-conv-like", 0.9, 20_000),
    ("burstgpt-like", 0.7, 10_000),
)
TRACES, SECTIONS, Q = 80, 8, 0.99


def make(kind: str, seed: int, requests: int, load: float) -> Trace:
    """A trace at this load of one worker."""
    rng = np.random.default_rng(seed)
    lengths = (lognormal_lengths(800, 0.8, 4000), lognormal_lengths(150, 0.7, 800))
    if kind in PRESETS:
        trace = PRESETS[kind](rng, requests=requests)
    else:
        arrivals = poisson_arrivals if kind == "poisson" else partial(gamma_arrivals, cv=3.0)
        trace = generate(arrivals, *lengths, rng, rate_per_s=1.0, requests=requests)
    return scale_rate(trace, load * stability(trace, WORKER).rate_max_per_s / trace.rate_per_s)


def sectioning_end(arrival_s: np.ndarray, values: np.ndarray) -> float:
    """Upper end of the 95 % interval by batch quantiles."""
    section = np.minimum((arrival_s - arrival_s[0]) * SECTIONS / np.ptp(arrival_s), SECTIONS - 1).astype(int)
    parts = np.array([np.log(np.quantile(values[section == k], Q)) for k in np.unique(section)])
    whole = np.log(np.quantile(values, Q))
    spread = np.sqrt(np.sum((parts - whole) ** 2) / (len(parts) - 1) / len(parts))
    return float(np.exp(whole + student.ppf(0.975, len(parts) - 1) * spread))


def main() -> None:
    """Print a line for each kind."""
    print(f"{'trace':<16}{'load':>6}{'requests':>10}{'holds':>9}{'open':>9}{'closed':>9}  (holds, once closed)")
    for kind, load, requests in KINDS:
        runs = [simulate(make(kind, seed, requests, load), WORKER, fcfs()) for seed in range(TRACES)]
        truth = np.quantile(np.concatenate([run.ttft_s for run in runs]), Q)
        held, opened, closed = [], [], []
        for run in runs:
            arrival_s, values = run.trace.arrival_s, run.ttft_s
            cut = windows(arrival_s, (values > np.quantile(values, Q)).astype(float))
            assert cut is not None  # long enough
            low, high = quantile_interval(values, Q, cut)
            held.append(low <= truth <= high)
            opened.append(np.isinf(high))
            closed.append(low <= truth <= (sectioning_end(arrival_s, values) if np.isinf(high) else high))
        shares = "".join(f"{np.mean(share):>9.0%}" for share in (held, opened, closed))
        print(f"{kind:<16}{load:>6}{requests:>10,}{shares}")


if __name__ == "__main__":
    main()
