"""What a fit does not know, in plain words."""

import numpy as np

from shadowprice.calibrate.limits import ASSUMED, INFERRED, NOT_REACHED
from shadowprice.calibrate.observed import Seen
from shadowprice.calibrate.replay import Statistics
from shadowprice.fleet.worker import Worker
from shadowprice.simulate.engine import EngineRun
from shadowprice.workload.readers import MeasuredLog

FAR = 0.1  # relative error of a mean from which the replay is called wrong


def describe_log(log: MeasuredLog) -> list[str]:
    """What was read, and what a client's log cannot show."""
    if log.admissions:
        return [*log.trace.notes]
    return [
        *log.trace.notes,
        "Times are those that a client saw, network and server included. When the engine admitted a request is not in "
        "the log: give --max-num-seqs and --max-num-batched-tokens if you know them.",
    ]


def describe_limits(worker: Worker, how: dict[str, str], seen: Seen, run: EngineRun) -> list[str]:
    """One sentence per limit that was not given: what was seen, and whether that was the limit."""
    preempted = int(np.count_nonzero(run.preemptions))
    texts = {
        ("kv_tokens", INFERRED): f"KV memory ran full: {worker.kv_tokens} tokens explain the log best, and "
        f"{preempted} of {len(run.preemptions)} requests are preempted in the replay.",
        (
            "kv_tokens",
            NOT_REACHED,
        ): f"KV memory was never full: at most {worker.kv_tokens} tokens were in use. The engine "
        "may have more; give --kv-tokens if you know it (vLLM logs it at start).",
        (
            "max_num_seqs",
            INFERRED,
        ): f"The batch was full: {seen.sequences} sequences at once, and others waited for them.",
        (
            "max_num_seqs",
            NOT_REACHED,
        ): f"At most {seen.sequences} sequences were in flight at once, and that was no limit; "
        f"max_num_seqs = {worker.max_num_seqs} is assumed.",
        ("max_num_batched_tokens", INFERRED): f"Steps were full at {worker.max_num_batched_tokens} tokens, the power "
        "of two that explains the log best.",
        ("max_num_batched_tokens", NOT_REACHED): "No step was full, so the token budget does not show; "
        f"{worker.max_num_batched_tokens} is assumed.",
        ("async_scheduling", INFERRED): "Steps were decided "
        + (
            "while the one before ran (asynchronous scheduling)."
            if worker.async_scheduling
            else "after the one before."
        ),
        ("async_scheduling", ASSUMED): "The log does not show whether scheduling is asynchronous; vLLM's default is.",
    }
    return [texts[key] for key in how.items() if key in texts]


def describe_unfixed(names: list[str]) -> list[str]:
    """Which coefficients the log does not fix."""
    if not names:
        return []
    return [
        f"The log does not fix {' and '.join(names)}: each could be half or twice as large, with the others to match. "
        "Steps like those in the log are timed right all the same; much smaller or larger batches are a guess."
    ]


def describe_errors(errors: Statistics, counted: int | None) -> list[str]:
    """Warnings where the log is not whole (counted: requests that ended before the cut), or the replay not like it."""
    if counted is not None:
        return [
            "The log seems to be cut out of a longer one: after its last admission the engine was slower than the "
            f"requests in it explain. Fit and errors look only at the times before, at {counted} whole requests."
        ]
    worst, name = max((abs(errors[name]["mean"]), name) for name in errors)
    if worst < FAR:
        return []
    return [
        f"The replay misses the mean {name} by {100 * worst:.0f} %. Do not trust this fit: a given limit is wrong, or "
        "the engine did what the simulator does not do (prefix caching with many hits, speculative decoding, "
        "priorities, several workers in one log)."
    ]
