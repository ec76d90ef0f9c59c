"""How often intervals hold the truth: of the load, and of a p99 TTFT; and what closing its open end would cost.

    python benchmarks/interval_coverage.py [--traces 80]

80 traces of each kind. The true load is the mean of all; the true p99, on one worker and with every trace at the same
load, is that of all together. Its interval is that of `capacity/interval.py`, whose upper end is open where the trace
says nothing beyond the quantile. Closed: such an end is replaced by that of sectioning (batch quantiles of 8 windows
around the whole one's, on the log scale).
"""

import argparse
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
    Sizes,
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
SECTIONS, Q = 8, 0.99


def make(kind: str, seed: int, requests: int) -> Trace:
    """A trace of this kind, at the rate that it comes with."""
    rng = np.random.default_rng(seed)
    if kind in PRESETS:
        return PRESETS[kind](rng, requests=requests)
    sizes = Sizes(lognormal_lengths(800, 0.8, 4000), lognormal_lengths(150, 0.7, 800))
    arrivals = poisson_arrivals if kind == "poisson" else partial(gamma_arrivals, cv=3.0)
    return generate(arrivals, sizes, rng, rate_per_s=1.0, requests=requests)


def at_load(trace: Trace, load: float) -> Trace:
    """The trace at this load of one worker."""
    return scale_rate(trace, load * stability(trace, WORKER).rate_max_per_s / trace.rate_per_s)


def load_held(traces: list[Trace]) -> float:
    """Share of the traces whose interval holds the load that they have in the mean."""
    found = [stability(trace, WORKER) for trace in traces]
    truth = np.mean([one.load_per_worker for one in found])
    return float(np.mean([one.load_interval[0] <= truth <= one.load_interval[1] for one in found if one.load_interval]))


def sectioning_end(arrival_s: np.ndarray, values: np.ndarray) -> float:
    """Upper end of the 95 % interval by batch quantiles."""
    section = np.minimum((arrival_s - arrival_s[0]) * SECTIONS / np.ptp(arrival_s), SECTIONS - 1).astype(int)
    parts = np.array([np.log(np.quantile(values[section == k], Q)) for k in np.unique(section)])
    whole = np.log(np.quantile(values, Q))
    spread = np.sqrt(np.sum((parts - whole) ** 2) / (len(parts) - 1) / len(parts))
    return float(np.exp(whole + student.ppf(0.975, len(parts) - 1) * spread))


def main() -> None:
    """Print a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=80, help="of each kind (80)")
    count = parser.parse_args().traces
    print(f"{'trace':<16}{'load':>6}{'requests':>10}{'load':>9}{'p99':>9}{'open':>9}{'closed':>9}")
    for kind, load, requests in KINDS:
        traces = [make(kind, seed, requests) for seed in range(count)]
        runs = [simulate(at_load(trace, load), WORKER, fcfs()) for trace in traces]
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
        shares = "".join(f"{np.mean(share):>9.0%}" for share in (load_held(traces), held, opened, closed))
        print(f"{kind:<16}{load:>6}{requests:>10,}{shares}")


if __name__ == "__main__":
    main()
