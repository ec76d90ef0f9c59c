"""Workers of several kinds at the least cost that can be stable: prices over an exact assignment, request by request.

Let the trace repeat for ever at its rate, lambda = rate / n copies per second of each of its n requests, and let every
request be served by one worker, of a kind that holds it. Variables: n_t, the workers of kind t; x_it, the share of the
copies of request i that kind t serves in the long run, 0 where its largest need of KV memory exceeds the kind's. With
p_itr = own_it + c_t use_itr, what request i is charged on kind t when all weight is on resource r (slots, KV memory,
token budget; `fleet/work.py`),

    minimise   sum_t price_t n_t                                                      n_t whole
    subject to sum_i lambda x_it p_itr <= load_t n_t   for every kind t and resource r
               sum_t x_it = 1,  x_it >= 0              for every request i

At load 1 the first rows are the stability condition of each kind (`stability.py`), which any routing whatever, that
knows the lengths or not, must keep: no fleet of these kinds is stable for less. Smaller loads leave room for latency.

**Solved by prices.** For any mu_tr >= 0 every feasible n satisfies

    sum_t load_t (sum_r mu_tr) n_t  >=  lambda sum_i min_t sum_r mu_tr p_itr,                                   (1)

the minimum over the kinds that hold request i: multiply the rows by mu, add them up, and let every request take its
cheapest kind. And of the kinds that hold a request one has a worker. By duality of linear programs an n that satisfies
(1) for all mu has shares x. So the program over whole n alone is solved under the rows found so far; then the mu is
sought whose row (1) its n violates most; that row is added, or there is none and n is the optimum. Any rows give a
valid bound, and they are computed from all requests, one by one. The search for mu is again by rows: the right side of
(1) is the least of u . mu over all assignments, u_tr the load that an assignment puts on resource r of kind t; weights
of assignments, which the last search gives as its duals, make the x_it.
Source: ours; the question is that of Melange (2404.14527).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from shadowprice.arrays import BoolArray, FloatArray, IntArray
from shadowprice.errors import InfeasibleError
from shadowprice.fleet.work import work
from shadowprice.fleet.worker import Worker
from shadowprice.optimize import LinearProgram, solve
from shadowprice.workload.trace import Trace

ROUNDING = 1e-9  # relative: by so much a row is weakened
TOLERANCE = 1e-5  # workers: a smaller violation is none; the solver's own are smaller
MOST_ROWS = 400  # of (1), and of assignments in one search; beyond, the bound is still one


@dataclass(frozen=True)
class Mix:
    """workers[t] of each kind, their cost_per_hour, the bound of any; shares[i, t] of request i that go to kind t."""

    workers: IntArray
    shares: FloatArray
    cost_per_hour: float
    bound: float


def cheapest_mix(
    trace: Trace, kinds: Sequence[Worker], price_per_hour: Sequence[float], load: Sequence[float] | None = None
) -> Mix:
    """The cheapest numbers of workers of these kinds that carry the trace's rate at that load of each (default: 1).

    Raises InfeasibleError where some request is larger than the KV memory of every kind.
    """
    needs, holds = _needs(trace, kinds)
    if not holds.any(axis=1).all():
        raise InfeasibleError(f"{trace.name}: some requests need more KV tokens than a worker of any kind has")
    loads = np.ones(len(kinds)) if load is None else np.asarray(load, dtype=np.float64)
    price = np.asarray(price_per_hour, dtype=np.float64)
    return _solved(_Assignments(needs / loads[None, :, None], holds), price)


@dataclass(frozen=True)
class _Assignments:
    """Whole assignments of requests to kinds, found by prices: the load that each puts on every resource of every kind.

    needs: busy workers that each request asks of each kind, [requests, kinds, resources]; holds: [requests, kinds].
    loads: one [kinds * resources] per assignment; kinds: one [requests] per assignment.
    """

    needs: FloatArray
    holds: BoolArray
    loads: list[FloatArray] = field(default_factory=list)
    kinds: list[IntArray] = field(default_factory=list)

    def cheapest(self, mu: FloatArray) -> float:
        """The right side of (1) at the prices mu [kinds * resources]; the assignment that attains it is kept."""
        count, kinds, resources = self.needs.shape
        priced = np.where(self.holds, np.einsum("itr,tr->it", self.needs, mu.reshape(kinds, resources)), np.inf)
        kind = np.argmin(priced, axis=1)
        load = np.stack([self.needs[kind == t, t].sum(axis=0) for t in range(kinds)])
        self.loads.append(load.ravel())
        self.kinds.append(kind)
        return float(priced[np.arange(count), kind].sum())

    def shares(self, weights: FloatArray) -> FloatArray:
        """Shares of each request by kind when the assignments are used in these shares; [requests, kinds]."""
        shares = np.zeros(self.holds.shape)
        rows = np.arange(len(shares))
        for weight, kind in zip(weights, self.kinds, strict=True):
            if weight > 0:
                shares[rows, kind] += weight
        return shares / shares.sum(axis=1, keepdims=True)


def _needs(trace: Trace, kinds: Sequence[Worker]) -> tuple[FloatArray, BoolArray]:
    """Busy workers that each request asks of each kind, [requests, kinds, resources], and which kinds hold it."""
    peak = trace.prompt_tokens + trace.output_tokens - 1
    needs = np.empty((len(trace), len(kinds), 3))
    for t, worker in enumerate(kinds):
        found = work(trace.prompt_tokens, trace.output_tokens, worker, trace.cached_tokens)
        needs[:, t] = (found.own_s + found.fixed_s * found.use).T * (trace.rate_per_s / len(trace))
    return needs, np.stack([worker.blocks_of(peak) <= worker.kv_blocks for worker in kinds], axis=1)


def _solved(pool: _Assignments, price: FloatArray) -> Mix:
    """Rows (1) until none is violated by the cheapest whole n."""
    kinds, resources = pool.needs.shape[1:]
    most = np.ceil((pool.needs * pool.holds[:, :, None]).sum(axis=0).max(axis=1)) + 1
    rows = list(np.unique(pool.holds, axis=0).astype(np.float64))  # somebody must be there who holds it
    sides = [1.0] * len(rows)
    for mu in np.eye(kinds * resources):
        rows.append(mu.reshape(kinds, resources).sum(axis=1))
        sides.append(pool.cheapest(mu))
    while True:
        found = solve(_program(price, most, np.array(rows), np.array(sides) * (1 - ROUNDING)))
        workers = np.rint(found.x).astype(np.int64)
        mu, side, weights = _most_violated(pool, workers)
        row = mu.reshape(kinds, resources).sum(axis=1)
        if side - row @ workers <= TOLERANCE or len(rows) == MOST_ROWS:
            break
        rows.append(row)
        sides.append(side)
    shares = _moved(pool.shares(weights), pool.holds & (workers > 0))
    load = np.einsum("it,itr->tr", shares, pool.needs).max(axis=1)
    workers = np.maximum(workers, np.ceil(load - 2 * TOLERANCE).astype(np.int64))
    cost = float(price @ workers)
    return Mix(workers, shares, cost, min(found.bound, cost))


def _moved(shares: FloatArray, allowed: BoolArray) -> FloatArray:
    """The shares without traces of what is not allowed; who is left with nothing is spread over what is."""
    kept = np.where(allowed, shares, 0.0)
    kept = np.where(kept.sum(axis=1, keepdims=True) > TOLERANCE, kept, allowed)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def _most_violated(pool: _Assignments, workers: IntArray) -> tuple[FloatArray, float, FloatArray]:
    """Prices (adding up to 1) whose row (1) these workers violate most, its right side, and weights of assignments.

    The weights, one for each assignment, put no more load above the workers on any resource than that violation. It
    ends early at a row that is violated by half of what is possible.
    """
    capacity = np.repeat(workers, pool.needs.shape[2]).astype(np.float64)
    best_mu, best = np.zeros(len(capacity)), -np.inf
    while True:
        program = _search(np.array(pool.loads), capacity)
        found = solve(program)
        mu, possible = np.maximum(found.x[:-1], 0.0), -found.value
        weights = np.maximum(found.row_dual[:-1], 0.0)
        side = pool.cheapest(mu)
        if side - mu @ capacity > best:
            best_mu, best = mu, side - float(mu @ capacity)
        if possible <= TOLERANCE or possible <= 2 * best or len(pool.loads) >= MOST_ROWS:
            return best_mu, best + float(best_mu @ capacity), np.append(weights, 0.0)


def _program(price: FloatArray, most: FloatArray, rows: FloatArray, sides: FloatArray) -> LinearProgram:
    """minimise price . n over whole n <= most, rows @ n >= sides."""
    return _dense(price, most, rows, sides, np.full(len(sides), np.inf), integer=True)


def _search(loads: FloatArray, capacity: FloatArray) -> LinearProgram:
    """maximise theta - mu . capacity over mu >= 0 adding up to 1, theta <= loads[k] . mu for each k; mu, then theta."""
    count, prices = loads.shape
    matrix = np.vstack([np.column_stack([loads, np.full(count, -1.0)]), np.append(np.ones(prices), 0.0)])
    lower = np.append(np.zeros(count), 1.0)
    upper = np.append(np.full(count, np.inf), 1.0)
    return _dense(np.append(capacity, -1.0), np.full(prices + 1, np.inf), matrix, lower, upper, integer=False)


def _dense(
    cost: FloatArray, upper: FloatArray, matrix: FloatArray, lower: FloatArray, above: FloatArray, *, integer: bool
) -> LinearProgram:
    rows, columns = matrix.shape
    return LinearProgram(
        cost=cost,
        upper=upper,
        row_lower=lower,
        row_upper=above,
        start=np.arange(columns + 1, dtype=np.int64) * rows,
        index=np.tile(np.arange(rows, dtype=np.int64), columns),
        value=matrix.T.ravel(),
        integer=integer,
    )
