"""Decode-only workers behind a step barrier: the theory model of routing, with a step time.

G workers of B slots. A request holds its prompt in the first step it runs and one token more in each step after it
(`drift_tokens`), makes a token a step, and leaves after its last. A step lasts as long as the slowest worker's,
T_g = (c + a*B_g + b*KV_g + e*P_g) / speed_g; the rest of it the others idle. Requests are routed when they arrive
(each worker queues what it has no slot for), or wait in a central queue whose oldest `pool` are offered whenever a
slot is free. Once routed they stay. Saturated: all are there from the start, so that the queue never empties.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray, IntArray, Records
from shadowprice.errors import PolicyError
from shadowprice.fleet.step_time import StepTime
from shadowprice.routing._tables import WORKER, Prefixes
from shadowprice.routing._trace_tables import tables_of, trace_blocks
from shadowprice.routing.compiled import Compiled
from shadowprice.routing.surface import Active, Pending, RoutingPolicy, Workers
from shadowprice.simulate import _barrier_state as kernel
from shadowprice.simulate._barrier_kernel import advance
from shadowprice.simulate._barrier_run import POWER, BarrierRun, Power, result
from shadowprice.workload.trace import Trace

# The setting of the measurements in docs/routing.md: 20 ms a step and 0.1 us per KV token of the slowest worker.
STEP_TIME = StepTime(0.020, 0.0, 1e-7, 0.0)


@dataclass(frozen=True)
class Ranks:
    """The workers behind the barrier. drift_tokens: by which a request grows in a step; speed [workers], 1 where None.

    Raises PolicyError for impossible numbers.
    """

    workers: int = 8
    slots: int = 64
    step_time: StepTime = STEP_TIME
    power: Power = POWER
    drift_tokens: float = 1.0
    speed: FloatArray | None = None

    def __post_init__(self) -> None:
        for name, value in (("workers", self.workers), ("slots", self.slots)):
            if value < 1:
                raise PolicyError(f"{name} is {value}; expected a whole number >= 1")
        if not 0 <= self.drift_tokens < np.inf:
            raise PolicyError(f"drift_tokens is {self.drift_tokens}; expected a number >= 0")
        speed = self.speed
        if speed is not None and (len(speed) != self.workers or not np.all((speed > 0) & np.isfinite(speed))):
            raise PolicyError(f"speed is {speed}; expected {self.workers} numbers > 0")


RANKS = Ranks()


def simulate_barrier(
    trace: Trace,
    policy: RoutingPolicy,
    ranks: Ranks = RANKS,
    *,
    pool: int | None = None,
    saturated: bool = False,
    samples: int = 0,
) -> BarrierRun:
    """Serve the trace on these ranks under the policy.

    pool: route from a central queue, offering the oldest so many; None: on arrival. saturated: do not wait for
    arrivals (needs a pool). A compiled policy runs compiled, from a fresh memory; any other object is asked through
    `assign`. samples: rows of loads to keep.
    Raises PolicyError for impossible parameters and answers, and when requests are left waiting for ever.
    """
    if pool is not None and pool < 1:
        raise PolicyError(f"pool is {pool}; expected a whole number >= 1")
    if saturated and pool is None:
        raise PolicyError("a saturated run needs a pool: how many of the oldest requests are offered")
    if len(trace) == 0:
        raise PolicyError(f"{trace.name}: no requests to route")
    compiled = isinstance(policy, Compiled)
    rule, requests, memory = tables_of(trace, policy, ranks.workers)
    tables = first_tables(trace, requests, ranks, pool, samples)
    model = model_of(ranks, central=pool is not None, saturated=saturated)
    answer = np.full(len(tables.pool), -1, np.int64)
    answered = False
    while True:
        status = advance(model, tables, rule, memory, answer, not compiled, answered, np.inf)
        if status == kernel.DONE:
            return result(trace, tables, model)
        if status == kernel.STUCK:
            raise PolicyError(f"{_name(policy)}: {tables.run['n_pool'][0]} requests wait for ever before idle workers")
        offered = int(tables.run["n_pool"][0])
        answer[:offered] = _ask(policy, trace, tables, pool is not None)
        answered = True


def model_of(ranks: Ranks, *, central: bool, saturated: bool) -> kernel.Model:
    """The ranks as the kernel takes them."""
    step_time, power = ranks.step_time, ranks.power
    return kernel.Model(
        fixed_s=float(step_time.fixed_s),
        per_sequence_s=float(step_time.per_sequence_s),
        per_kv_token_s=float(step_time.per_kv_token_s),
        per_prefill_token_s=float(step_time.per_prefill_token_s),
        drift_tokens=float(ranks.drift_tokens),
        idle_power_w=float(power.idle_w),
        peak_power_w=float(power.peak_w),
        power_exponent=float(power.exponent),
        central=central,
        saturated=saturated,
    )


def _name(policy: RoutingPolicy) -> str:
    return str(getattr(policy, "name", type(policy).__name__))


def first_tables(trace: Trace, requests: Records, ranks: Ranks, pool: int | None, samples: int) -> kernel.Tables:
    """The kernel\'s tables before the first step."""
    n, workers, slots = len(trace), ranks.workers, ranks.slots
    blocks = trace_blocks(trace) if ranks.step_time.per_prefill_token_s > 0 else np.zeros(0, np.int64)
    distinct = int(blocks.max()) + 1 if len(blocks) else 0
    cached = np.zeros((distinct, (workers + 63) // 64), np.uint64)
    table = np.zeros(workers, WORKER)
    table["free"], table["speed"] = slots, 1.0 if ranks.speed is None else ranks.speed
    run = np.zeros(1, kernel.RUN)
    run["free"], run["left"], run["stride"] = workers * slots, n, 1
    ring = 1 << int(trace.output_tokens.max() + 1).bit_length()
    return kernel.Tables(
        requests=requests,
        pool=np.zeros(n if pool is None else pool, np.int64),
        workers=table,
        slots=np.zeros((workers, slots), np.int64),
        ends=np.full(ring, -1, np.int64),
        run=run,
        started=np.zeros(workers * slots, np.int64),
        ended=np.zeros(n, np.int64),
        samples=np.zeros((samples, 1 + workers)),
        held=Prefixes(blocks, trace.prefix_block_tokens, cached, np.zeros(workers)),
    )


def _ask(policy: RoutingPolicy, trace: Trace, tables: kernel.Tables, central: bool) -> IntArray:
    """The policy's answer for the pool, checked."""
    requests, workers, run = tables.requests, tables.workers, tables.run[0]
    rows = tables.pool[: run["n_pool"]]
    pending = Pending(
        arrival_s=trace.arrival_s[rows],
        prompt_tokens=trace.prompt_tokens[rows],
        session=np.full(len(rows), -1, np.int64) if trace.session is None else trace.session[rows],
        passes=requests["passes"][rows],
        prefix=None if trace.prefix is None else trace.prefix.take(rows),
        prefix_block_tokens=trace.prefix_block_tokens,
        predicted_output=requests["predicted"][rows],
        may_wait=central,
    )
    ids = np.concatenate([tables.slots[g, : workers["running"][g]] for g in range(len(workers))])
    active = Active(
        worker=requests["worker"][ids],
        prompt_tokens=requests["prompt"][ids],
        generated_tokens=int(run["step"]) - requests["start_step"][ids],
        predicted_output=requests["predicted"][ids],
    )
    view = Workers(
        held_tokens=workers["kv"].copy(),
        running=workers["running"].copy(),
        waiting=workers["queued"].copy(),
        waiting_tokens=workers["queued_kv"].astype(np.int64),
        slots=np.full(len(workers), tables.slots.shape[1], np.int64),
        speed=workers["speed"].copy(),
        active=active,
        finished_tokens=tables.ended[: run["n_ended"]].copy(),
    )
    tables.run["n_ended"] = 0
    answer: npt.NDArray[np.int64] = np.asarray(policy.assign(pending, view, float(run["now_s"])))
    _check(policy, answer, len(rows), workers["free"], central)
    return answer


def _check(policy: RoutingPolicy, answer: IntArray, offered: int, free: IntArray, central: bool) -> None:
    if answer.shape != (offered,) or not np.issubdtype(answer.dtype, np.integer):
        raise PolicyError(f"{_name(policy)}: assign returned {answer!r}; expected a worker for each of {offered}")
    least = -1 if central else 0
    if answer.min() < least or answer.max() >= len(free):
        raise PolicyError(f"{_name(policy)}: assign returned {answer!r}; expected workers {least} to {len(free) - 1}")
    over = np.bincount(answer[answer >= 0], minlength=len(free)) > free
    if central and over.any():
        g = int(np.argmax(over))
        raise PolicyError(f"{_name(policy)}: gave worker {g} more than its {free[g]} free slots")
