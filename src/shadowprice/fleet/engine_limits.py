"""The limits that an engine takes where nobody sets them: they follow the GPU.

Source: `EngineArgs.get_batch_defaults` of vLLM 0.32, for its OpenAI-compatible server.
"""

from dataclasses import dataclass

from shadowprice.fleet.gpus import GIB, Gpu
from shadowprice.fleet.worker import Worker

LARGE_BYTES = 70 * GIB
LARGEST_BYTES = 160 * GIB


@dataclass(frozen=True)
class EngineLimits:
    """max_num_seqs [sequences] and max_num_batched_tokens [tokens] of vLLM's own choice, and `rule`, why these."""

    max_num_seqs: int
    max_num_batched_tokens: int
    rule: str


def default_limits(gpu: Gpu | None, max_num_batched_tokens: int | None = None) -> EngineLimits:
    """What vLLM takes on this GPU (None: one that nobody named) where no limit, or the token budget only, is given."""
    if gpu is None:
        found = EngineLimits(Worker.max_num_seqs, Worker.max_num_batched_tokens, "where no GPU is named")
    elif gpu.hbm_bytes >= LARGEST_BYTES:
        found = EngineLimits(1024, 16384, "from 160 GiB on")
    elif gpu.hbm_bytes >= LARGE_BYTES and "a100" not in gpu.name.lower():
        found = EngineLimits(1024, 8192, "from 70 GiB on")
    else:
        why = "below 70 GiB" if gpu.hbm_bytes < LARGE_BYTES else "on A100"
        found = EngineLimits(Worker.max_num_seqs, Worker.max_num_batched_tokens, why)
    if max_num_batched_tokens is None:
        return found
    return EngineLimits(min(found.max_num_seqs, max_num_batched_tokens), max_num_batched_tokens, found.rule)


def origin_of_limits(gpu: Gpu | None, worker: Worker) -> dict[str, str]:
    """For each limit of the worker that a step is decided by, where it comes from, in words."""
    usual = default_limits(gpu)
    said = {}
    for name in ("max_num_seqs", "max_num_batched_tokens"):
        default, value = getattr(usual, name), getattr(worker, name)
        said[name] = (
            f"vLLM's default {usual.rule}" if value == default else f"given; vLLM takes {default:,} {usual.rule}"
        )
    for name in ("block_size", "async_scheduling"):
        default, value = getattr(Worker, name), getattr(worker, name)
        said[name] = "vLLM's default" if value == default else f"given; vLLM takes {default}"
    return said
