"""What the variants of the routing policies are worth: `python benchmarks/routing_variants.py TRACE...`, idle shares.

Forecasts, on every trace at 90 % load with dispatch on arrival: none, learned, an oracle, oracles off by a lognormal
factor, and windows without a price. Then, on the last trace: bounds on passing over when slots bind; four workers of
eight twice as fast; and, where it has prefix blocks, affinity, prompts prefilled at 20 us a token unless cached.
"""

import argparse
from collections.abc import Callable

import numpy as np

from shadowprice.fleet.step_time import StepTime
from shadowprice.routing import POLICIES, Compiled, bf_io, priced_holes
from shadowprice.simulate.barrier import STEP_TIME, BarrierRun, Ranks, simulate_barrier
from shadowprice.simulate.routing_study import SETTING, at_load, repeated, slots_of
from shadowprice.workload import Trace, read_trace
from shadowprice.workload.operations import scale_rate
from shadowprice.workload.predict import predict_exactly, predict_with_error

WORKERS = (8, 16, 64)
PREFILL_S, RATES_PER_S = 2e-5, (2.0, 3.0, 4.0)
Seen = Callable[[Trace], Trace]


def as_it_is(trace: Trace) -> Trace:
    """No forecast."""
    return trace


def erring(sigma: float) -> Seen:
    """Forecasts off by exp(sigma * standard normal)."""
    return lambda trace: predict_with_error(trace, sigma, np.random.default_rng(0))


FORECASTS: dict[str, tuple[Compiled, Seen]] = {
    "least_kv": (POLICIES["least_kv"](), as_it_is),
    "window of one step, no price": (bf_io(0, price=0.0), as_it_is),
    "window of 20 steps, learned, no price": (bf_io(20, 21, price=0.0), as_it_is),
    "priced_holes": (priced_holes(), as_it_is),
    "bf_io, learned": (bf_io(), as_it_is),
    "bf_io, oracle": (bf_io(forecast="predicted"), predict_exactly),
    "bf_io, oracle off by sigma 0.5": (bf_io(forecast="predicted"), erring(0.5)),
    "bf_io, oracle off by sigma 1": (bf_io(forecast="predicted"), erring(1.0)),
}


def forecasts(trace: Trace) -> None:
    """A row per forecast, a column per number of workers."""
    print(f"{trace.name}: idle share" + "".join(f"{f'G = {g}':>10}" for g in WORKERS))
    long = repeated(trace, SETTING.copies, SETTING.gap_s)
    arriving = {g: at_load(long, g, slots_of(g), SETTING) for g in WORKERS}
    for name, (policy, seen) in FORECASTS.items():
        runs = [simulate_barrier(seen(arriving[g]), policy, Ranks(workers=g, slots=slots_of(g))) for g in WORKERS]
        print(f"  {name:40}" + "".join(f"{100 * run.idle_share:8.2f} %" for run in runs), flush=True)


def bounds_on_passing(trace: Trace) -> None:
    """Sixteen workers, slots bind."""
    print(f"{trace.name}, 16 workers of 64 slots, slots bind")
    for most in (0, 10, 50, 300, 3000):
        run = simulate_barrier(
            trace, priced_holes(most_passes=most), Ranks(workers=16, slots=64), pool=SETTING.pool, saturated=True
        )
        print(f"  at most {most:4} passed over: idle {100 * run.idle_share:5.2f} %, p99 wait {run.ttft_p99_s:5.1f} s")


def unequal_speeds(trace: Trace) -> None:
    """Eight workers, four of them twice as fast, at 90 % of what eight slow ones sustain."""
    print(f"{trace.name}, 8 workers, 4 twice as fast")
    arriving = at_load(repeated(trace, SETTING.copies, SETTING.gap_s), 8, 64, SETTING)
    speed = np.repeat([1.0, 2.0], 4)
    priced_in = priced_holes(fixed_kv_tokens=STEP_TIME.fixed_s / STEP_TIME.per_kv_token_s)
    named = {name: POLICIES[name]() for name in ("round_robin", "join_shortest_queue", "least_kv", "priced_holes")}
    for name, policy in (named | {"priced_holes, speeds priced in": priced_in}).items():
        print_run(name, simulate_barrier(arriving, policy, Ranks(workers=8, slots=64, speed=speed)))


def affinity(trace: Trace) -> None:
    """Eight workers that prefill what they have not cached, at several arrival rates."""
    time = StepTime(STEP_TIME.fixed_s, 0.0, STEP_TIME.per_kv_token_s, PREFILL_S)
    both = priced_holes(prefill_kv_tokens=PREFILL_S / STEP_TIME.per_kv_token_s)
    named = {name: POLICIES[name]() for name in ("round_robin", "cache_aware", "least_kv", "priced_holes")}
    for rate in RATES_PER_S:
        print(f"{trace.name}, 8 workers, prefill unless cached, {rate:g} requests/s")
        arriving = scale_rate(trace, rate / trace.rate_per_s)
        for name, policy in (named | {"priced_holes, affinity priced in": both}).items():
            print_run(name, simulate_barrier(arriving, policy, Ranks(workers=8, slots=64, step_time=time)))


def print_run(name: str, run: BarrierRun) -> None:
    """Idle share, TPOT and mean latency."""
    latency_s = float((run.finish_s - run.trace.arrival_s).mean())
    print(f"  {name:40}{100 * run.idle_share:8.2f} % {1000 * run.tpot_s:8.1f} ms {latency_s:8.2f} s", flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("traces", nargs="+", help="trace files or public traces")
    traces = [read_trace(name) for name in parser.parse_args().traces]
    for trace in traces:
        forecasts(trace)
    bounds_on_passing(traces[-1])
    unequal_speeds(traces[-1])
    if traces[-1].prefix is not None:
        affinity(traces[-1])


if __name__ == "__main__":
    main()
