"""One continuous-batching worker through time, with the semantics of vLLM's V1 scheduler.

In each step the running requests come first, in order of admission: each gets the tokens it still has to compute (one
when it decodes, the rest of its prompt otherwise) while the step's token budget lasts, and blocks for them; when blocks
run out a running request is preempted, loses its KV and recomputes prompt and output so far later. Then, unless
somebody was preempted, waiting requests join in the policy's order while slots, tokens and blocks last; the head of
the queue needs blocks for its whole context, though it takes only those of its chunk. The step takes T(B, KV, P). A
request is seen by the first decision at or after its arrival, and leaves at the end of its last step. A step is decided
when the one before it ends, or, with asynchronous scheduling (vLLM's default), when the one before it starts: then
arrivals join a step later, and who has made its last token still holds its slot and blocks in the step after.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import PolicyError
from shadowprice.fleet.oversized import require_fit
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.ranked import Gate, Ranked, Victim
from shadowprice.scheduling.surface import Requests, SchedulingPolicy, TenantService, WorkerState
from shadowprice.simulate import _engine_state as kernel
from shadowprice.simulate._engine_kernel import advance
from shadowprice.workload.trace import Trace

SAMPLES = 2048  # rows kept of the time series


@dataclass(frozen=True)
class Series:
    """Every k-th step of a run: time_s at its end, running, waiting, kv_tokens held (whole blocks), step_s."""

    time_s: FloatArray
    running: FloatArray
    waiting: FloatArray
    kv_tokens: FloatArray
    step_s: FloatArray


class Latencies:
    """What follows from a run's `trace`, `first_token_s` and `finish_s` [s], whatever served it."""

    trace: Trace
    first_token_s: FloatArray
    finish_s: FloatArray

    @property
    def ttft_s(self) -> FloatArray:
        """Arrival to first token [s]."""
        return self.first_token_s - self.trace.arrival_s

    @property
    def e2e_s(self) -> FloatArray:
        """Arrival to last token [s]."""
        return self.finish_s - self.trace.arrival_s

    @property
    def tpot_s(self) -> FloatArray:
        """Mean time per output token after the first [s]; NaN for requests of one token."""
        decodes = self.trace.output_tokens - 1
        return np.divide(
            self.finish_s - self.first_token_s, decodes, out=np.full(len(decodes), np.nan), where=decodes > 0
        )


@dataclass(frozen=True)
class EngineRun(Latencies):
    """What a run did: per request scheduled_s (first admission), first_token_s, finish_s [s] and preemptions; totals.

    busy_s: time in steps. mean_running and mean_kv_tokens: averages over busy time.
    """

    trace: Trace
    scheduled_s: FloatArray
    first_token_s: FloatArray
    finish_s: FloatArray
    preemptions: IntArray
    steps: int
    busy_s: float
    mean_running: float
    mean_kv_tokens: float
    peak_kv_tokens: int
    series: Series


def simulate(
    trace: Trace,
    worker: Worker,
    policy: SchedulingPolicy,
    *,
    rng: np.random.Generator | None = None,
    every_step: bool = False,
    interpreted: bool = False,
) -> EngineRun:
    """Serve the trace on one worker under the policy.

    A `Ranked` policy runs compiled; any other object is asked through `order` before each step in which somebody
    waits and a slot is free (one that remembers, from a fresh memory). Forecasts are `trace.predicted_output`, or
    the true lengths where the trace has none.
    rng: for policies that draw (seed 0 by default). every_step: do not jump over steps in which nothing changes;
    interpreted: ask a `Ranked` policy through `order` too (the same results, slower; for tests).
    Raises InfeasibleError when a request cannot fit the worker's KV memory, PolicyError when a policy answers with
    anything but distinct indices of waiting requests, or leaves requests waiting for ever.
    """
    require_fit(trace, worker)
    compiled = isinstance(policy, Ranked) and not interpreted
    requests = request_table(trace, worker, policy)
    rules = rules_of(worker, policy, requests, asks=not compiled, every_step=every_step)
    state = kernel.new_state(requests, rules, SAMPLES)
    generator = rng if rng is not None else np.random.default_rng(0)
    ranking = np.zeros(0, np.int64)
    ranked = -1
    asked: SchedulingPolicy = policy.fresh() if hasattr(policy, "fresh") else policy
    tenants = None if trace.tenant is None else np.unique(trace.tenant, return_inverse=True)
    while (status := advance(*state, ranking, ranked, generator, np.inf)) != kernel.DONE:
        if status == kernel.STUCK:
            raise PolicyError(f"{policy}: {state.run['n_waiting'][0]} requests wait for ever on an idle worker")
        ranking = _ask(asked, state, worker, tenants)
        ranked = len(ranking)
    return engine_run(trace, state.requests, state.run[0], state.samples)


def _view(rows: kernel.Table, tenant: IntArray | None = None) -> Requests:
    """What a policy may see of these requests."""
    return Requests(
        arrival_s=rows["arrival_s"],
        prompt_tokens=rows["prompt"],
        predicted_output=rows["predicted"],
        generated_tokens=rows["generated"],
        computed_tokens=rows["computed"],
        priority=rows["priority"],
        tenant=tenant,
    )


def _served(requests: kernel.Table, tenants: tuple[IntArray, IntArray]) -> TenantService:
    """What each tenant was given so far; tenants: the distinct codes, and the place of each request's among them."""
    codes, of_request = tenants
    admitted = ~np.isnan(requests["scheduled_s"])
    prompts, outputs = (
        np.bincount(of_request[admitted], requests[column][admitted], len(codes)).astype(np.int64)
        for column in ("prompt", "generated")
    )
    return TenantService(codes, prompts, outputs)


def request_table(trace: Trace, worker: Worker, policy: SchedulingPolicy) -> kernel.Table:
    """The kernel's table of the requests, with the policy's key."""
    requests = np.zeros(len(trace), kernel.REQUEST)
    requests["arrival_s"] = trace.arrival_s
    requests["prompt"] = trace.prompt_tokens
    requests["output"] = trace.output_tokens
    requests["predicted"] = trace.output_tokens if trace.predicted_output is None else trace.predicted_output
    requests["priority"] = 0 if trace.priority is None else trace.priority
    requests["following"] = np.arange(1, len(trace) + 1)
    requests["following"][-1:] = -1
    requests["place"] = np.arange(len(trace))
    for moment in ("scheduled_s", "first_token_s", "finish_s"):
        requests[moment] = np.nan
    if isinstance(policy, Ranked):
        key = np.asarray(policy.key(_view(requests), worker), dtype=np.float64)
        if key.shape != requests.shape or np.isnan(key).any():
            raise PolicyError(f"policy {policy.name}: its key must give one number per request, and no NaN")
        requests["key"] = key
    return requests


def rules_of(
    worker: Worker, policy: SchedulingPolicy, requests: kernel.Table, *, asks: bool, every_step: bool
) -> kernel.Rules:
    """The worker's limits and the policy's gate as the kernel takes them."""
    time = worker.step_time
    known = policy if isinstance(policy, Ranked) else None
    return kernel.Rules(
        fixed_s=float(time.fixed_s),
        per_sequence_s=float(time.per_sequence_s),
        per_kv_token_s=float(time.per_kv_token_s),
        per_prefill_token_s=float(time.per_prefill_token_s),
        max_num_seqs=worker.max_num_seqs,
        max_num_batched_tokens=worker.max_num_batched_tokens,
        kv_blocks=worker.kv_blocks,
        block_size=worker.block_size,
        gate=int(known.gate if known and not asks else Gate.OPTIMISTIC),
        alpha=float(known.alpha if known and known.gate is Gate.PROTECT else 0.0),
        victim=int(known.victim if known else Victim.LAST_ADMITTED),
        beta=float(known.beta if known else 1.0),
        max_wait_s=float(known.max_wait_s if known and not asks else np.inf),
        in_arrival_order=bool(np.all(np.diff(requests["key"]) >= 0)),
        lag=worker.async_scheduling,
        asks=asks,
        every_step=every_step,
    )


def _ask(
    policy: SchedulingPolicy, state: kernel.State, worker: Worker, tenants: tuple[IntArray, IntArray] | None
) -> IntArray:
    """The policy's ranking of the waiting, as request ids."""
    requests, run = state.requests, state.run[0]
    rows = np.flatnonzero(requests["status"] == kernel.WAITING)
    running = state.batch["id"][: run["n_running"]]
    running = running[requests["status"][running] == kernel.RUNNING]
    tenant = [None if tenants is None else tenants[0][tenants[1][ids]] for ids in (rows, running)]
    served = None if tenants is None else _served(requests, tenants)
    now = WorkerState(worker, float(run["now_s"]), int(run["free_blocks"]) * worker.block_size, served)
    answer: npt.NDArray[Any] = np.asarray(
        policy.order(_view(requests[rows], tenant[0]), _view(requests[running], tenant[1]), now)
    )
    if answer.size == 0:
        return np.zeros(0, np.int64)
    distinct = answer.ndim == 1 and np.issubdtype(answer.dtype, np.integer) and len(np.unique(answer)) == len(answer)
    if not (distinct and answer.min() >= 0 and answer.max() < len(rows)):
        raise PolicyError(
            f"{policy}: order returned {answer!r}; expected distinct indices into the {len(rows)} waiting requests"
        )
    return rows[answer]


def engine_run(trace: Trace, requests: kernel.Table, run: np.void, samples: FloatArray) -> EngineRun:
    """The kernel's tables as a result; requests: the rows of this trace, run: its row of totals."""
    busy_s = float(run["busy_s"])
    return EngineRun(
        trace=trace,
        scheduled_s=requests["scheduled_s"].copy(),
        first_token_s=requests["first_token_s"].copy(),
        finish_s=requests["finish_s"].copy(),
        preemptions=requests["preemptions"].copy(),
        steps=int(run["steps"]),
        busy_s=busy_s,
        mean_running=float(run["running_s"]) / busy_s if busy_s else 0.0,
        mean_kv_tokens=float(run["kv_token_s"]) / busy_s if busy_s else 0.0,
        peak_kv_tokens=int(run["peak_kv_tokens"]),
        series=Series(*samples[: run["n_samples"]].T.copy()),
    )
