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

from shadowprice.arrays import FloatArray, IntArray, Records
from shadowprice.errors import PolicyError
from shadowprice.fleet.oversized import require_fit
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.ranked import Ranked
from shadowprice.scheduling.surface import Requests, SchedulingPolicy, TenantService, WorkerState
from shadowprice.simulate import _engine_state as kernel
from shadowprice.simulate._engine_kernel import advance
from shadowprice.simulate._engine_tables import everyone, request_table, rules_of
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
    """What a run did, per request and in total; `ttft_s`, `e2e_s` and `tpot_s` follow.

    Parameters
    ----------
    trace : Trace
        The n requests that were served.
    scheduled_s : ndarray of float64, shape (n,)
        First admission [s].
    first_token_s : ndarray of float64, shape (n,)
        When the first token was made [s].
    finish_s : ndarray of float64, shape (n,)
        When the last token was made [s].
    preemptions : ndarray of int64, shape (n,)
        How often the request lost its KV and was computed again.
    steps : int
        Forward passes.
    busy_s : float
        Time in steps [s].
    mean_running : float
        Sequences in the batch, averaged over busy time.
    mean_kv_tokens : float
        KV tokens held, averaged over busy time.
    peak_kv_tokens : int
        Most KV tokens held at once.
    series : Series
        Every k-th step of the run.
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

    A `Ranked` policy runs compiled; any other object is asked through `order` before each step in which somebody waits
    and a slot is free (a `VirtualTokenCounter` from a fresh memory). Forecasts are `trace.predicted_output`, or the
    true lengths where the trace has none.

    Parameters
    ----------
    trace : Trace
        What arrives.
    worker : Worker
        What serves it: step time and limits.
    policy : SchedulingPolicy
        One of `scheduling.POLICIES`, or any object with `order(waiting, running, state)`.
    rng : numpy.random.Generator, optional
        For policies that draw; seed 0 by default.
    every_step : bool
        Do not jump over steps in which nothing changes (the same results, slower; for tests).
    interpreted : bool
        Ask a `Ranked` policy through `order` too (the same results, slower; for tests).

    Returns
    -------
    EngineRun
        Times of every request, preemptions, and totals.

    Raises
    ------
    InfeasibleError
        When a request cannot fit the worker's KV memory.
    PolicyError
        When a policy answers with anything but distinct indices of waiting requests, or leaves some waiting for ever.

    References
    ----------
    The scheduler of vLLM V1, step by step; see the module's docstring.

    Examples
    --------
    >>> import numpy as np, shadowprice as sp
    >>> worker = sp.read_fleet("llama-3.1-8b-h100").worker
    >>> trace = sp.Trace(np.array([0.0, 1.0]), np.array([100, 200]), np.array([10, 20]))
    >>> run = sp.simulate(trace, worker, sp.scheduling.POLICIES["fcfs"]())
    >>> bool(run.ttft_s[0] < run.e2e_s[0] < 1)
    True
    """
    require_fit(trace, worker)
    compiled = isinstance(policy, Ranked) and not interpreted
    requests, keys = request_table(trace, worker, policy)
    rules = rules_of(worker, policy, requests, asks=not compiled, every_step=every_step)
    engine = kernel.one_engine(requests, rules, keys, SAMPLES)
    generator = rng if rng is not None else np.random.default_rng(0)
    ranking = np.zeros(0, np.int64)
    ranked = -1
    asked: SchedulingPolicy = policy.fresh() if hasattr(policy, "fresh") else policy
    seen = everyone(trace)
    tenants = None if trace.tenant is None else np.unique(trace.tenant, return_inverse=True)
    while (status := advance(engine, 0, ranking, ranked, generator, np.inf)) != kernel.DONE:
        if status == kernel.STUCK:
            raise PolicyError(f"{policy}: {engine.runs['n_waiting'][0]} requests wait for ever on an idle worker")
        ranking = _ask(asked, engine, seen, worker, tenants)
        ranked = len(ranking)
    return engine_run(trace, requests, engine.runs[0], engine.samples[0])


def _served(requests: Records, tenants: tuple[IntArray, IntArray]) -> TenantService:
    """What each tenant was given so far; tenants: the distinct codes, and the place of each request's among them."""
    codes, of_request = tenants
    admitted = ~np.isnan(requests["scheduled_s"])
    prompts, outputs = (
        np.bincount(of_request[admitted], requests[column][admitted], len(codes)).astype(np.int64)
        for column in ("prompt", "generated")
    )
    return TenantService(codes, prompts, outputs)


def _ask(
    policy: SchedulingPolicy,
    engine: kernel.Engines,
    seen: Requests,
    worker: Worker,
    tenants: tuple[IntArray, IntArray] | None,
) -> IntArray:
    """The policy's ranking of the waiting, as request ids."""
    requests, run = engine.requests, engine.runs[0]
    rows = np.flatnonzero(requests["status"] == kernel.WAITING)
    running = engine.batches[0]["id"][: run["n_running"]]
    running = running[requests["status"][running] == kernel.RUNNING]
    now = [seen.take(ids).having(requests["generated"][ids], requests["computed"][ids]) for ids in (rows, running)]
    served = None if tenants is None else _served(requests, tenants)
    state = WorkerState(worker, float(run["now_s"]), int(run["free_blocks"]) * worker.block_size, served)
    answer: npt.NDArray[Any] = np.asarray(policy.order(now[0], now[1], state))
    if answer.size == 0:
        return np.zeros(0, np.int64)
    distinct = answer.ndim == 1 and np.issubdtype(answer.dtype, np.integer) and len(np.unique(answer)) == len(answer)
    if not (distinct and answer.min() >= 0 and answer.max() < len(rows)):
        raise PolicyError(
            f"{policy}: order returned {answer!r}; expected distinct indices into the {len(rows)} waiting requests"
        )
    return rows[answer]


def engine_run(trace: Trace, requests: Records, run: np.void, samples: FloatArray) -> EngineRun:
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
