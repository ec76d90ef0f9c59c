"""Workers of several kinds at the least cost that can be stable: an integer program on the rates of `stability.py`.

Requests are put into classes by their lengths. Variables: n_t workers of kind t, and the share x_bt of class b that
kind t serves (in steps of 1/UNITS). With lambda_b requests of class b per second, who need own_bt seconds of a worker
of kind t and the shares use_rbt of its slots, KV memory and token budget per step of c_t seconds (class means),

    minimise   sum_t price_t n_t
    subject to sum_b lambda_b x_bt (own_bt + c_t use_rbt) <= load_t * n_t   for every kind t and resource r
               sum_t x_bt = 1                                               for every class b

At load 1 the constraints are the stability condition of each kind, so no fleet of these kinds that treats a class
alike, in such shares, is stable for less. Smaller loads leave room for latency. Source: ours; the shape of the program
is that of Melange (2404.14527).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import BoolArray, FloatArray, IntArray
from shadowprice.errors import InfeasibleError
from shadowprice.fleet.work import work
from shadowprice.fleet.worker import Worker
from shadowprice.optimize import LinearProgram, solve
from shadowprice.workload.trace import Trace

CUTS = (1 / 3, 2 / 3)  # quantiles of prompt and of output between classes
UNITS = 20
TIME_LIMIT_S = 5.0


@dataclass(frozen=True)
class Mix:
    """workers[t] of each kind, cost_per_hour of all; shares[b, t] of class b that go to kind t; bound: on the cost."""

    workers: IntArray
    shares: FloatArray
    cost_per_hour: float
    bound: float


def classes(trace: Trace) -> IntArray:
    """Class of each request by thirds of the prompt and of the output lengths, numbered without gaps."""
    place = [np.searchsorted(np.quantile(x, CUTS), x, side="right") for x in (trace.prompt_tokens, trace.output_tokens)]
    return np.unique(place[0] * (len(CUTS) + 1) + place[1], return_inverse=True)[1].astype(np.int64)


def cheapest_mix(
    trace: Trace, kinds: Sequence[Worker], price_per_hour: Sequence[float], load: Sequence[float] | None = None
) -> Mix:
    """The cheapest numbers of workers of these kinds that carry the trace's rate at that load of each (default: 1).

    Raises InfeasibleError where some request is larger than the KV memory of every kind.
    """
    of = classes(trace)
    needs, fits = _needs(trace, of, kinds)
    if not fits.any(axis=1).all():
        raise InfeasibleError(f"{trace.name}: some requests need more KV tokens than a worker of any kind has")
    loads = np.ones(len(kinds)) if load is None else np.asarray(load, dtype=np.float64)
    program = _program(needs, fits, np.asarray(price_per_hour, dtype=np.float64), loads)
    found = solve(program, TIME_LIMIT_S)
    x = np.rint(found.x).astype(np.int64)
    kinds_count = len(kinds)
    shares = x[kinds_count:].reshape(-1, kinds_count) / UNITS
    return Mix(x[:kinds_count], shares, found.value, found.bound)


def _needs(trace: Trace, of: IntArray, kinds: Sequence[Worker]) -> tuple[FloatArray, BoolArray]:
    """Busy workers that each class asks of each kind, [classes, kinds, resources], and which kinds hold it."""
    count = int(of.max()) + 1
    cached = trace.cached_tokens
    peak = trace.prompt_tokens + trace.output_tokens - 1
    largest = np.zeros(count, np.int64)
    np.maximum.at(largest, of, peak)
    needs = np.zeros((count, len(kinds), 3))
    for t, worker in enumerate(kinds):
        found = work(trace.prompt_tokens, trace.output_tokens, worker, cached)
        for r in range(3):
            charge_s = found.own_s + found.fixed_s * found.use[r]
            needs[:, t, r] = np.bincount(of, weights=charge_s, minlength=count) / trace.span_s
    holds = np.array([[worker.kv_blocks * worker.block_size for worker in kinds]])
    return needs, largest[:, None] <= holds


def _program(needs: FloatArray, fits: BoolArray, price: FloatArray, load: FloatArray) -> LinearProgram:
    """Columns: n_t, then x_bt in units, class by class. Rows: kind by kind its resources, then the classes."""
    count, kinds, resources = needs.shape
    rows = kinds * resources
    start, index, value = [0], [], []
    for t in range(kinds):
        index += list(range(t * resources, (t + 1) * resources))
        value += [-float(load[t])] * resources
        start.append(len(index))
    for b in range(count):
        for t in range(kinds):
            index += [*range(t * resources, (t + 1) * resources), rows + b]
            value += [*(needs[b, t] / UNITS), 1.0]
            start.append(len(index))
    most = np.ceil(needs.sum(axis=0).max(axis=1) / load) + 1
    return LinearProgram(
        cost=np.concatenate([price, np.zeros(count * kinds)]),
        upper=np.concatenate([most, np.where(fits, float(UNITS), 0.0).ravel()]),
        row_lower=np.concatenate([np.full(rows, -np.inf), np.full(count, float(UNITS))]),
        row_upper=np.concatenate([np.zeros(rows), np.full(count, float(UNITS))]),
        start=np.array(start, np.int64),
        index=np.array(index, np.int64),
        value=np.array(value),
        integer=True,
    )
