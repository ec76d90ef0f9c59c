"""From a trace, a worker and a policy to the engine kernel's tables: requests, moving keys and rules."""

import numpy as np

from shadowprice.arrays import FloatArray, IntArray, Records
from shadowprice.errors import PolicyError
from shadowprice.fleet.token_curve import PLAIN
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.ranked import Gate, Ranked, Victim
from shadowprice.scheduling.surface import Requests, SchedulingPolicy
from shadowprice.simulate import _engine_state as kernel
from shadowprice.workload.trace import Trace

MOST_KEYS = 50_000_000  # rows of KEY, 24 bytes each
AT_ONCE = 1_000_000  # rows for which a policy is asked its key
PROBED = 256  # requests that tell whether a key moves though it should not
NEVER = np.iinfo(np.int64).max


def everyone(trace: Trace, computed: IntArray | int = 0, generated: int = 0) -> Requests:
    """What a policy may see of the trace's requests as they come; computed: tokens whose KV comes with them."""
    nothing = np.zeros(len(trace), np.int64)
    return Requests(
        arrival_s=trace.arrival_s,
        prompt_tokens=trace.prompt_tokens,
        predicted_output=trace.output_tokens if trace.predicted_output is None else trace.predicted_output,
        generated_tokens=nothing + generated,
        computed_tokens=nothing + computed,
        priority=nothing if trace.priority is None else trace.priority,
        tenant=trace.tenant,
        deadline_s=deadlines(trace),
    )


def deadlines(trace: Trace) -> FloatArray | None:
    """Seconds from arrival to deadline, infinite for who has none; None where nobody has one."""
    return None if trace.deadline_s is None else np.where(trace.deadline_s > 0, trace.deadline_s, np.inf)


def request_table(
    trace: Trace, worker: Worker, policy: SchedulingPolicy, computed: IntArray | int = 0, generated: int = 0
) -> tuple[Records, Records]:
    """The kernel's table of the requests, with the policy's key, and that of its moving keys (empty where none move).

    computed, generated: tokens whose KV comes with each request, and those that it has made elsewhere.
    """
    seen = everyone(trace, computed, generated)
    requests = np.zeros(len(trace), kernel.REQUEST)
    requests["arrival_s"] = trace.arrival_s
    requests["prompt"] = trace.prompt_tokens
    requests["output"] = trace.output_tokens
    requests["predicted"] = seen.predicted_output
    requests["computed"] = seen.computed_tokens
    requests["generated"] = generated
    requests["following"] = -1
    for moment in ("scheduled_s", "first_token_s", "finish_s"):
        requests[moment] = np.nan
    keys = np.zeros(0, kernel.KEY)
    if isinstance(policy, Ranked):
        requests["key"] = policy.keys(seen, worker)
        policy.require_static(seen.take(np.arange(min(PROBED, len(trace)))), worker)
        if policy.levels is not None:
            keys, requests["level"] = key_table(seen, policy, worker, trace.output_tokens)
    return requests, keys


def key_table(seen: Requests, policy: Ranked, worker: Worker, output: IntArray) -> tuple[Records, IntArray]:
    """A row of KEY for each level that each request reaches, and the row at which each request starts.

    A static key has one level.
    """
    starts = policy.levels.up_to(int(output.max(initial=0))) if policy.levels else np.zeros(1, np.int64)
    counts = np.searchsorted(starts, output, side="right")
    total = int(counts.sum())
    if total > MOST_KEYS:
        raise PolicyError(
            f"policy {policy.name}: {policy.levels} give {total:,} keys for this trace; expected at most "
            f"{MOST_KEYS:,}: take a larger step"
        )
    first = np.cumsum(counts) - counts
    request = np.repeat(np.arange(len(seen)), counts)
    level = np.arange(total) - first[request]
    keys = np.zeros(total, kernel.KEY)
    keys["until"] = np.append(starts, NEVER)[level + 1]
    keys["until"][first + counts - 1] = NEVER
    for start in range(0, total, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        one, made = seen.take(request[part]), starts[level[part]]
        keys["waiting"][part] = policy.keys(one.having(made, np.zeros_like(made)), worker)
        keys["running"][part] = policy.keys(one.having(made, one.prompt_tokens + made), worker)
    if policy.gives_way and np.any(keys["running"] > keys["waiting"]):
        raise PolicyError(
            f"policy {policy.name}: a request's key is worse while it runs than while it waits, and it gives way: two "
            "could take turns for ever; expected a key that is no worse with computed_tokens"
        )
    return keys, first + np.searchsorted(starts, seen.generated_tokens, side="right") - 1


def rules_of(
    worker: Worker, policy: SchedulingPolicy, requests: Records, *, asks: bool, every_step: bool
) -> kernel.EngineRules:
    """The worker's limits and the policy's gate as the kernel takes them."""
    time = worker.step_time
    known = policy if isinstance(policy, Ranked) else None
    gated = known is not None and (not asks or known.gives_way)  # else its answers are
    moves = known is not None and known.levels is not None
    return kernel.EngineRules(
        fixed_s=float(time.fixed_s),
        per_sequence_s=float(time.per_sequence_s),
        per_kv_token_s=float(time.per_kv_token_s),
        per_prefill_token_s=float(time.per_prefill_token_s),
        max_num_seqs=worker.max_num_seqs,
        max_num_batched_tokens=worker.max_num_batched_tokens,
        kv_blocks=worker.kv_blocks,
        block_size=worker.block_size,
        gate=int(known.gate if known and gated else Gate.OPTIMISTIC),
        alpha=float(known.alpha if known and known.gate is Gate.PROTECT else 0.0),
        headroom=int(known.headroom if known else 0),
        victim=int(known.victim if known else Victim.LAST_ADMITTED),
        beta=float(known.beta if known else 1.0),
        max_wait_s=float(known.max_wait_s if known else np.inf),
        moves=moves,
        gives_way=known is not None and known.gives_way,
        in_arrival_order=not moves and bool(np.all(requests["key"][1:] >= requests["key"][:-1])),
        lag=worker.async_scheduling,
        asks=asks,
        every_step=every_step,
        plain=worker.is_plain,
        kept=(worker.kept or PLAIN).numbers,
        read=(worker.read or PLAIN).numbers,
    )
