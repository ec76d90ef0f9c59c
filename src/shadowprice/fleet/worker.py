"""One worker: a replica of the model with its step time and its limits."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import FleetError
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.token_curve import TokenCurve

ROUNDING = 1e-9  # blocks: what a curve's arithmetic may be off by


@dataclass(frozen=True)
class Worker:
    """Step time and limits of one continuous-batching engine; the limits carry vLLM's flag names.

    The defaults are vLLM's on a GPU that it does not know; what it takes on others is in `engine_limits.py`.

    Parameters
    ----------
    step_time : StepTime
        How long a step takes.
    max_num_seqs : int
        Most sequences running at once.
    max_num_batched_tokens : int
        Most tokens computed in one step, decode and prefill together; prompts are chunked to fit.
    kv_tokens : int
        Size of the KV cache [tokens], used in whole blocks.
    block_size : int
        Tokens of a block.
    async_scheduling : bool
        Whether each step is decided while the one before it runs (vLLM's default), not after.
    kept : TokenCurve or None
        Memory that a sequence of n tokens takes [KV tokens]; None: its n tokens.
    read : TokenCurve or None
        What a decode step reads of it [KV tokens]; None: its n tokens.

    Raises
    ------
    FleetError
        When a limit is not a positive integer or kv_tokens is less than one block.
    """

    step_time: StepTime
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048
    kv_tokens: int = 262_144
    block_size: int = 16
    async_scheduling: bool = True
    kept: TokenCurve | None = None
    read: TokenCurve | None = None

    def __post_init__(self) -> None:
        for name in ("max_num_seqs", "max_num_batched_tokens", "kv_tokens", "block_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise FleetError(f"worker.{name} is {value!r}; expected a whole number >= 1")
        if self.kv_tokens < self.block_size:
            raise FleetError(f"worker.kv_tokens is {self.kv_tokens}; expected at least one block of {self.block_size}")

    @property
    def kv_blocks(self) -> int:
        """Whole KV blocks that fit."""
        return self.kv_tokens // self.block_size

    @property
    def is_plain(self) -> bool:
        """Whether every sequence keeps, and every step reads, exactly its tokens."""
        return self.kept is None and self.read is None

    def blocks_of(self, tokens: npt.ArrayLike) -> IntArray:
        """KV blocks that sequences of these lengths hold; none where they have no token."""
        n = np.asarray(tokens, dtype=np.int64)
        if self.kept is None:
            return np.asarray(-(-n // self.block_size))
        return np.where(n > 0, np.ceil(self.kept.of(n) / self.block_size - ROUNDING), 0).astype(np.int64)

    def read_of(self, tokens: npt.ArrayLike) -> FloatArray:
        """KV tokens that a decode step reads of sequences of these lengths."""
        return np.asarray(tokens, dtype=np.float64) if self.read is None else self.read.of(tokens)
