"""Many engines fed by a routing policy: independent replicas, or data-parallel ranks in lockstep.

Each worker is the engine of `simulate/engine.py` with its own waiting queue and scheduling policy. A request is routed
once, and stays. Dispatch is immediate (all requests that arrive at one moment are routed together, on arrival), or
from a central queue, from which requests are routed when a worker has a free slot. In lockstep a step lasts as long
as the slowest rank's, and ranks with nothing to do take part in it idle.
"""

from dataclasses import dataclass

import numpy as np

from shadowprice.errors import PolicyError
from shadowprice.fleet.worker import Worker
from shadowprice.routing.surface import FloatArray, IntArray, Pending, RoutingPolicy, Workers
from shadowprice.scheduling.policies import Ranked
from shadowprice.simulate import _engine_state as kernel
from shadowprice.simulate._cluster_kernel import advance_apart, advance_together, hand_over, observe
from shadowprice.simulate.engine import SAMPLES, EngineRun, Series, request_table, require_fit, rules_of
from shadowprice.workload.trace import Trace

WORKER = np.dtype([(name, np.int64) for name in ("kv_tokens", "running", "waiting", "waiting_tokens")])


@dataclass(frozen=True)
class ClusterRun:
    """What a run did. Per request: worker [n], and the arrays of `served`, an EngineRun over all requests.

    Per worker [G]: own_s, the seconds of its own work; series, its time series. elapsed_s: first arrival to last
    finish. idle_share: share of the fleet's time in steps spent waiting for slower ranks (0 for replicas).
    """

    served: EngineRun
    worker: IntArray
    own_s: FloatArray
    series: tuple[Series, ...]
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
    """The state of a run: the kernel's tables, one row or block per worker."""

    requests: kernel.Table
    rules: kernel.Rules
    runs: kernel.Table
    batches: kernel.Table
    samples: FloatArray
    residues: IntArray
    last: IntArray
    own_s: FloatArray
    seen: kernel.Table
    session: IntArray
    slots: IntArray


def simulate_cluster(
    trace: Trace,
    worker: Worker,
    workers: int,
    scheduling: Ranked,
    routing: RoutingPolicy,
    *,
    lockstep: bool = False,
    central_queue: bool = False,
    rng: np.random.Generator | None = None,
) -> ClusterRun:
    """Serve the trace on `workers` equal workers.

    Raises InfeasibleError when a request cannot fit a worker's KV memory, PolicyError when the routing policy names a
    worker that is not there, holds a request back without a central queue, or leaves requests waiting for ever.
    """
    require_fit(trace, worker)
    if workers < 1:
        raise PolicyError(f"workers is {workers}; expected a whole number >= 1")
    cluster = _start(trace, worker, workers, scheduling, central_queue)
    generator = rng if rng is not None else np.random.default_rng(0)
    if central_queue:
        _from_central_queue(cluster, routing, lockstep, generator)
    else:
        _on_arrival(cluster, routing, lockstep, generator)
    return _result(trace, cluster)


def _start(trace: Trace, worker: Worker, workers: int, scheduling: Ranked, central_queue: bool) -> _Cluster:
    requests = request_table(trace, worker, scheduling)
    requests["following"] = -1
    rules = rules_of(worker, scheduling, requests, asks=False, every_step=False)
    rules = rules._replace(in_arrival_order=rules.in_arrival_order and not central_queue)
    state = kernel.new_state(requests, rules, SAMPLES)
    runs = np.repeat(state.run, workers)
    runs["following"] = -1
    session = trace.session if trace.session is not None else np.full(len(trace), -1, np.int64)
    return _Cluster(
        requests,
        rules,
        runs,
        np.zeros((workers, len(state.batch)), kernel.BATCH),
        np.zeros((workers, SAMPLES, 5)),
        state.residues,
        np.full(workers, -1, np.int64),
        np.zeros(workers),
        np.zeros(workers, WORKER),
        session,
        np.full(workers, worker.max_num_seqs, np.int64),
    )


def _advance(cluster: _Cluster, lockstep: bool, rng: np.random.Generator, until_s: float) -> None:
    """Run the workers up to their decision on or after `until_s`."""
    c = cluster
    if lockstep:
        advance_together(c.requests, c.rules, c.runs, c.batches, c.samples, c.own_s, rng, until_s)
    else:
        advance_apart(c.requests, c.rules, c.runs, c.batches, c.samples, c.residues, rng, until_s)


def _route(cluster: _Cluster, routing: RoutingPolicy, rows: IntArray, now_s: float, hold: bool) -> IntArray:
    """Ask the policy, hand over what it assigned; returns the rows it kept back."""
    observe(cluster.requests, cluster.rules, cluster.runs, cluster.seen)
    seen = cluster.seen
    view = Workers(seen["kv_tokens"], seen["running"], seen["waiting"], seen["waiting_tokens"], cluster.slots)
    pending = Pending(cluster.requests["arrival_s"][rows], cluster.requests["prompt"][rows], cluster.session[rows])
    answer = np.asarray(routing.assign(pending, view, now_s))
    least = -1 if hold else 0
    if answer.shape != rows.shape or not np.issubdtype(answer.dtype, np.integer):
        raise PolicyError(
            f"{routing}: assign returned {answer!r}; expected one worker for each of {len(rows)} requests"
        )
    if len(rows) and (answer.min() < least or answer.max() >= len(seen)):
        raise PolicyError(f"{routing}: assign returned {answer!r}; expected workers from {least} to {len(seen) - 1}")
    for r, g in zip(rows.tolist(), answer.tolist(), strict=True):
        if g >= 0:
            hand_over(cluster.requests, cluster.runs, cluster.last, r, g)
    return rows[answer < 0]


def _on_arrival(cluster: _Cluster, routing: RoutingPolicy, lockstep: bool, rng: np.random.Generator) -> None:
    """Route every request when it arrives."""
    moments, first = np.unique(cluster.requests["arrival_s"], return_index=True)
    ends = np.append(first[1:], len(cluster.requests))[: len(moments)]
    for now_s, start, end in zip(moments, first, ends, strict=True):
        _advance(cluster, lockstep, rng, now_s)
        if lockstep:
            _wake(cluster, now_s)
        _route(cluster, routing, np.arange(start, end), float(now_s), hold=False)
    _advance(cluster, lockstep, rng, np.inf)


def _wake(cluster: _Cluster, now_s: float) -> None:
    """Ranks in lockstep that were all idle share the moment at which something arrives."""
    if not np.any(cluster.runs["n_running"] + cluster.runs["n_waiting"]):
        cluster.runs["now_s"] = np.maximum(cluster.runs["now_s"], now_s)


def _from_central_queue(cluster: _Cluster, routing: RoutingPolicy, lockstep: bool, rng: np.random.Generator) -> None:
    """Hold requests back until a worker has a free slot."""
    arrival_s, runs = cluster.requests["arrival_s"], cluster.runs
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
        if len(queue) and np.any(runs["n_running"] + runs["n_waiting"] < cluster.rules.max_num_seqs):
            if lockstep:
                _wake(cluster, now_s)
            queue = _route(cluster, routing, queue, now_s, hold=True)
        _advance(cluster, lockstep, rng, np.nextafter(now_s, np.inf))
    if len(queue):
        raise PolicyError(f"{routing}: {len(queue)} requests wait for ever before idle workers")


def _result(trace: Trace, cluster: _Cluster) -> ClusterRun:
    requests, runs = cluster.requests, cluster.runs
    own_s = cluster.own_s if cluster.own_s.any() else runs["busy_s"].copy()
    step_s = float(runs["busy_s"].sum())
    served = EngineRun(
        trace=trace,
        scheduled_s=requests["scheduled_s"].copy(),
        first_token_s=requests["first_token_s"].copy(),
        finish_s=requests["finish_s"].copy(),
        preemptions=requests["preemptions"].copy(),
        steps=int(runs["steps"].sum()),
        busy_s=step_s,
        mean_running=float(runs["running_s"].sum()) / step_s if step_s else 0.0,
        mean_kv_tokens=float(runs["kv_token_s"].sum()) / step_s if step_s else 0.0,
        peak_kv_tokens=int(runs["peak_kv_tokens"].max()),
        series=Series(*np.zeros((5, 0))),
    )
    series = tuple(
        Series(*rows[:n].T.copy()) for rows, n in zip(cluster.samples, runs["n_samples"].tolist(), strict=True)
    )
    elapsed_s = float(served.finish_s.max() - trace.arrival_s[0]) if len(trace) else 0.0
    idle_share = 1 - float(own_s.sum()) / step_s if step_s else 0.0
    return ClusterRun(served, requests["worker"].copy(), own_s.copy(), series, elapsed_s, idle_share)
