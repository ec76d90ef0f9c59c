"""Trace and fleet as pairs of name and text, for the page."""

from shadowprice.audit.words import number, plural
from shadowprice.fleet.fleet import Fleet
from shadowprice.workload.statistics import describe
from shadowprice.workload.trace import Trace

Facts = list[tuple[str, str]]


def trace_facts(trace: Trace) -> Facts:
    """What arrives."""
    return describe(trace).rows()


def fleet_facts(fleet: Fleet, stable_rate_per_s: float) -> Facts:
    """What serves."""
    worker, time = fleet.worker, fleet.worker.step_time
    gpu = f"{fleet.gpus_per_worker} x {fleet.gpu.name}" if fleet.gpu else plural(fleet.gpus_per_worker, "GPU")
    facts = [("fleet", fleet.name), ("workers", f"{fleet.workers:,}, each on {gpu}")]
    if fleet.model is not None:
        facts.append(("model", f"{fleet.model.name} in {fleet.model.dtype}"))
    return [
        *facts,
        ("stable rate", f"{number(stable_rate_per_s)} requests/s of this trace's kind"),
        ("KV tokens per worker", f"{worker.kv_tokens:,} in blocks of {worker.block_size}"),
        ("most sequences", f"{worker.max_num_seqs:,}"),
        ("most tokens per step", f"{worker.max_num_batched_tokens:,}"),
        (
            "step time",
            f"{number(time.fixed_s * 1e3)} ms + {number(time.per_sequence_s * 1e6)} µs per sequence + "
            f"{number(time.per_kv_token_s * 1e9)} ns per KV token + {number(time.per_prefill_token_s * 1e6)} µs per "
            "prefill token",
        ),
        ("step time from", fleet.step_time_note),
    ]
