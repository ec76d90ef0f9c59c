"""Many engines fed by a routing policy: independent replicas, or data-parallel ranks in lockstep.

Each worker is the engine of `simulate/engine.py` with its own waiting queue and scheduling policy. A request is routed
once, and stays. Dispatch is immediate (all requests that arrive at one moment are routed together, on arrival), or
from a central queue, from which requests are routed when a worker has a free slot. In lockstep a step lasts as long
as the slowest rank's, and ranks with nothing to do take part in it idle.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from shadowprice.arrays import FloatArray, IntArray, Records
from shadowprice.errors import PolicyError
from shadowprice.fleet.oversized import require_fit
from shadowprice.fleet.worker import Worker
from shadowprice.routing._tables import WORKER
from shadowprice.routing._trace_tables import tables_of
from shadowprice.routing.compiled import Compiled
from shadowprice.routing.surface import Active, Pending, RoutingPolicy, Workers
from shadowprice.scheduling.ranked import Ranked
from shadowprice.simulate import _engine_state as kernel
from shadowprice.simulate._cluster_kernel import advance_all, hand_over, observe, route_on_arrival, wake
from shadowprice.simulate._engine_tables import request_table, rules_of
from shadowprice.simulate.engine import SAMPLES, EngineRun, engine_run
from shadowprice.workload.trace import Trace

SEEN = np.dtype([(name, np.int64) for name in ("held_tokens", "running", "waiting", "waiting_tokens")])


@dataclass(frozen=True)
class ClusterRun:
    """What a run did. Per request: worker [n], and the arrays of `served`, an EngineRun over all requests.

    Per worker [G]: engines, what each did; own_s, the seconds of its own work. elapsed_s: first arrival to last finish.
    idle_share: share of the fleet's time in steps spent waiting for slower ranks (0 for replicas).
    """

    served: EngineRun
    worker: IntArray
    engines: tuple[EngineRun, ...]
    own_s: FloatArray
    elapsed_s: float
    idle_share: float

    @property
    def throughput_tok_s(self) -> float:
        """Output tokens per second over the run."""
        return float(self.served.trace.output_tokens.sum()) / self.elapsed_s if self.elapsed_s else 0.0

    def energy_j(self, idle_power_w: float, peak_power_w: float) -> float:
        """Energy [J] when a worker draws peak power in its own work and idle power else."""
        own_s = float(self.own_s.sum())
        return idle_power_w * (len(self.own_s) * self.elapsed_s - own_s) + peak_power_w * own_s


@dataclass(frozen=True)
class _Cluster:
    """The state of a run.

    seen: what a policy in Python may know of each worker. passes [n]: younger requests routed while this one waited.
    ran [G, slots]: who ran when a policy was last asked, -1.
    """

    engines: kernel.Engines
    seen: Records
    passes: IntArray
    ran: IntArray


def simulate_cluster(
    trace: Trace,
    worker: Worker,
    workers: int,
    scheduling: Ranked,
    routing: RoutingPolicy,
    *,
    lockstep: bool = False,
    central_queue: bool = False,
    rng: Generator | None = None,
) -> ClusterRun:
    """Serve the trace on `workers` equal workers.

    A compiled routing policy runs compiled, from a fresh memory, when it routes on arrival; any other object, and from
    a central queue all, are asked through `assign`.
    Raises InfeasibleError when a request cannot fit a worker's KV memory, PolicyError when the routing policy names a
    worker that is not there, holds a request back without a central queue, or leaves requests waiting for ever, and
    for a scheduling policy that is no `Ranked`.
    """
    require_fit(trace, worker)
    if workers < 1:
        raise PolicyError(f"workers is {workers}; expected a whole number >= 1")
    if not isinstance(scheduling, Ranked):
        raise PolicyError(f"scheduling is {scheduling!r}; expected a Ranked policy, which runs compiled")
    cluster = _start(trace, worker, workers, scheduling, central_queue)
    generator = rng if rng is not None else np.random.default_rng(0)
    if isinstance(routing, Compiled):
        routing = routing.fresh()
    if isinstance(routing, Compiled) and not central_queue:
        _on_arrival_compiled(cluster, trace, routing, lockstep, generator)
    elif central_queue:
        _from_central_queue(cluster, trace, routing, lockstep, generator)
    else:
        _on_arrival(cluster, trace, routing, lockstep, generator)
    return _result(trace, cluster)


def _start(trace: Trace, worker: Worker, workers: int, scheduling: Ranked, central_queue: bool) -> _Cluster:
    requests, keys = request_table(trace, worker, scheduling)
    rules = rules_of(worker, scheduling, requests, asks=False, every_step=False)
    rules = rules._replace(in_arrival_order=rules.in_arrival_order and not central_queue)
    engines = kernel.idle_engines(requests, rules, keys, workers, SAMPLES)
    ran = np.full(engines.batches.shape, -1, np.int64)
    return _Cluster(engines, np.zeros(workers, SEEN), np.zeros(len(trace), np.int64), ran)


def _view(cluster: _Cluster) -> Workers:
    """What a policy may see of the workers."""
    engines, seen = cluster.engines, cluster.seen
    requests = engines.requests
    observe(requests, engines.rules, engines.runs, seen)
    ran = cluster.ran[cluster.ran >= 0]
    finished = ran[requests["status"][ran] == kernel.FINISHED]
    used = np.arange(cluster.ran.shape[1]) < seen["running"][:, None]
    cluster.ran[:] = np.where(used, engines.batches["id"], -1)
    ids = cluster.ran[used]
    return Workers(
        held_tokens=seen["held_tokens"].copy(),
        running=seen["running"].copy(),
        waiting=seen["waiting"].copy(),
        waiting_tokens=seen["waiting_tokens"].copy(),
        slots=np.full(len(seen), engines.rules.max_num_seqs, np.int64),
        active=Active(
            worker=requests["worker"][ids],
            prompt_tokens=requests["prompt"][ids],
            generated_tokens=requests["generated"][ids],
            predicted_output=requests["predicted"][ids],
        ),
        finished_tokens=requests["output"][finished],
    )


def _pending(cluster: _Cluster, trace: Trace, rows: IntArray, may_wait: bool) -> Pending:
    """What a policy may see of the requests to be routed."""
    requests = cluster.engines.requests
    return Pending(
        arrival_s=requests["arrival_s"][rows],
        prompt_tokens=requests["prompt"][rows],
        session=trace.session[rows] if trace.session is not None else np.full(len(rows), -1, np.int64),
        passes=cluster.passes[rows],
        prefix=trace.prefix.take(rows) if trace.prefix is not None else None,
        prefix_block_tokens=trace.prefix_block_tokens,
        predicted_output=requests["predicted"][rows],
        may_wait=may_wait,
    )


def _route(
    cluster: _Cluster, trace: Trace, routing: RoutingPolicy, rows: IntArray, now_s: float, may_wait: bool
) -> IntArray:
    """Ask the policy, hand over what it assigned; returns the rows it kept back."""
    answer = np.asarray(routing.assign(_pending(cluster, trace, rows, may_wait), _view(cluster), now_s))
    least, workers = -1 if may_wait else 0, len(cluster.engines.runs)
    if answer.shape != rows.shape or not np.issubdtype(answer.dtype, np.integer):
        raise PolicyError(f"{routing}: assign returned {answer!r}; expected a worker for each of {len(rows)} requests")
    if len(rows) and (answer.min() < least or answer.max() >= workers):
        raise PolicyError(f"{routing}: assign returned {answer!r}; expected workers from {least} to {workers - 1}")
    assigned, engines = answer >= 0, cluster.engines
    for r, g in zip(rows[assigned].tolist(), answer[assigned].tolist(), strict=True):
        hand_over(engines.requests, engines.runs, engines.last, r, g)
    cluster.passes[rows] += np.cumsum(assigned[::-1])[::-1]
    return rows[~assigned]


def _on_arrival(cluster: _Cluster, trace: Trace, routing: RoutingPolicy, lockstep: bool, rng: Generator) -> None:
    """Route every request when it arrives."""
    engines = cluster.engines
    moments, first = np.unique(engines.requests["arrival_s"], return_index=True)
    ends = np.append(first[1:], len(engines.requests))[: len(moments)]
    for now_s, start, end in zip(moments, first, ends, strict=True):
        advance_all(engines, lockstep, rng, now_s)
        if lockstep:
            wake(engines.runs, now_s)
        _route(cluster, trace, routing, np.arange(start, end), float(now_s), may_wait=False)
    advance_all(engines, lockstep, rng, np.inf)


def _on_arrival_compiled(cluster: _Cluster, trace: Trace, routing: Compiled, lockstep: bool, rng: Generator) -> None:
    """The same as `_on_arrival` for a compiled policy, all of it compiled."""
    engines, workers = cluster.engines, len(cluster.engines.runs)
    rule, routed, memory = tables_of(trace, routing, workers)
    table = np.zeros(workers, WORKER)
    table["speed"] = 1.0
    slots = np.zeros((workers, engines.batches.shape[1]), np.int64)
    route_on_arrival(engines, lockstep, rule, memory, routed, table, slots, rng)


def _from_central_queue(
    cluster: _Cluster, trace: Trace, routing: RoutingPolicy, lockstep: bool, rng: Generator
) -> None:
    """Hold requests back until a worker has a free slot."""
    engines = cluster.engines
    arrival_s, runs = engines.requests["arrival_s"], engines.runs
    queue = np.zeros(0, np.int64)
    following = 0
    while True:
        busy = runs["n_running"] + runs["n_waiting"] > 0
        now_s = float(runs["now_s"][busy].min()) if busy.any() else np.inf
        if following < len(arrival_s) and (not len(queue) or not busy.any()):
            now_s = min(now_s, float(arrival_s[following])) if not len(queue) else float(arrival_s[following])
        if now_s == np.inf:
            break
        arrived = int(np.searchsorted(arrival_s, now_s, side="right"))
        queue = np.concatenate([queue, np.arange(following, arrived)])
        following = max(following, arrived)
        if len(queue) and np.any(runs["n_running"] + runs["n_waiting"] < engines.rules.max_num_seqs):
            if lockstep:
                wake(runs, now_s)
            queue = _route(cluster, trace, routing, queue, now_s, may_wait=True)
        advance_all(engines, lockstep, rng, np.nextafter(now_s, np.inf))
    if len(queue):
        raise PolicyError(f"{routing}: {len(queue)} requests wait for ever before idle workers")


def _result(trace: Trace, cluster: _Cluster) -> ClusterRun:
    all_ = cluster.engines
    requests, runs, samples = all_.requests, all_.runs, all_.samples
    own_s = all_.own_s if all_.own_s.any() else runs["busy_s"].copy()
    step_s = float(runs["busy_s"].sum())
    total = np.zeros(1, kernel.RUN)
    for column in ("steps", "busy_s", "running_s", "kv_token_s"):
        total[column] = runs[column].sum()
    total["peak_kv_tokens"] = runs["peak_kv_tokens"].max()
    served = engine_run(trace, requests, total[0], np.zeros((0, 5)))
    engines = []
    for g in range(len(runs)):
        rows = np.flatnonzero(requests["worker"] == g)
        engines.append(engine_run(trace.take(rows), requests[rows], runs[g], samples[g]))
    return ClusterRun(
        served=served,
        worker=requests["worker"].copy(),
        engines=tuple(engines),
        own_s=own_s,
        elapsed_s=float(served.finish_s.max() - trace.arrival_s[0]) if len(trace) else 0.0,
        idle_share=1 - float(own_s.sum()) / step_s if step_s else 0.0,
    )
