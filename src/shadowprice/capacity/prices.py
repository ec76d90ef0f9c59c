"""Shadow prices of capacity: what the stable rate would be with twice as much of one thing."""

from dataclasses import dataclass, replace

from shadowprice.errors import FleetError
from shadowprice.fleet.derive import kv_tokens_that_fit
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.work import stable_rate_per_s, work
from shadowprice.fleet.worker import Worker
from shadowprice.workload.trace import Trace


@dataclass(frozen=True)
class Price:
    """The stable rate of a worker with a change, and the gain: new rate over old rate - 1. change: in words."""

    change: str
    rate_max_per_s: float
    gain: float


def prices(trace: Trace, fleet: Fleet) -> dict[str, Price]:
    """What doubling one thing does to the stable rate of a worker, requests otherwise like the trace's.

    hbm: memory of each GPU; where GPU and model are known all that is added holds KV, else the KV tokens are doubled.
    compute: tokens are computed twice as fast (half the cost per sequence and per prefill token). bandwidth: weights
    and KV are read twice as fast (half the fixed cost and half the cost per KV token, an upper estimate: part of the
    fixed cost is no reading). slots, token_budget: the limits of the engine. context: twice as long prompts.
    """
    worker = fleet.worker
    time = worker.step_time
    faster = replace(time, per_sequence_s=time.per_sequence_s / 2, per_prefill_token_s=time.per_prefill_token_s / 2)
    wider = replace(time, fixed_s=time.fixed_s / 2, per_kv_token_s=time.per_kv_token_s / 2)
    larger, how = _with_twice_the_hbm(fleet)
    changed = {
        "hbm": (how, larger),
        "compute": ("compute twice as fast", replace(worker, step_time=faster)),
        "bandwidth": ("memory read twice as fast", replace(worker, step_time=wider)),
        "slots": (f"max_num_seqs {2 * worker.max_num_seqs:,}", replace(worker, max_num_seqs=2 * worker.max_num_seqs)),
        "token_budget": (
            f"max_num_batched_tokens {2 * worker.max_num_batched_tokens:,}",
            replace(worker, max_num_batched_tokens=2 * worker.max_num_batched_tokens),
        ),
    }
    now = _rate(trace, worker)
    found = {name: Price(words, rate := _rate(trace, then), rate / now - 1) for name, (words, then) in changed.items()}
    cached = None if trace.cached_tokens is None else 2 * trace.cached_tokens
    longer = replace(trace, prompt_tokens=2 * trace.prompt_tokens, cached_tokens=cached, prefix=None)
    rate = _rate(longer, worker)
    return found | {"context": Price("prompts twice as long", rate, rate / now - 1)}


def _rate(trace: Trace, worker: Worker) -> float:
    return stable_rate_per_s(work(trace.prompt_tokens, trace.output_tokens, worker, trace.cached_tokens))


def _with_twice_the_hbm(fleet: Fleet) -> tuple[Worker, str]:
    """The worker with the KV tokens that twice the HBM would hold, and how that was found."""
    worker = fleet.worker
    if fleet.gpu is not None and fleet.model is not None:
        gpu = replace(fleet.gpu, hbm_bytes=2 * fleet.gpu.hbm_bytes)
        try:
            added = kv_tokens_that_fit(replace(fleet, gpu=gpu)) - kv_tokens_that_fit(fleet)
            tokens = worker.kv_tokens + added
            return replace(worker, kv_tokens=tokens), f"twice the HBM: {tokens:,} KV tokens"
        except FleetError:  # the file's own KV tokens need not agree with what the shapes say
            pass
    tokens = 2 * worker.kv_tokens
    return replace(worker, kv_tokens=tokens), f"twice the KV memory: {tokens:,} tokens"
