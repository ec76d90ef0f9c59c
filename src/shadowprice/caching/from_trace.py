"""Accesses of a trace: its prompt blocks, its sessions' contexts, or its images."""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.caching._number_kernel import number_blocks, number_contexts
from shadowprice.caching.problem import Accesses
from shadowprice.errors import TraceError
from shadowprice.fleet import Fleet
from shadowprice.workload.trace import Ragged, Trace

SESSION_BLOCK_TOKENS = 512


@dataclass(frozen=True)
class PrefillCost:
    """Seconds that a prompt token takes: per_token_s, and per_token_and_context_s for each token before it.

    The second is attention's share, which grows with depth: a block of t tokens behind d others costs
    t * per_token_s + t * (d + t/2) * per_token_and_context_s.
    """

    per_token_s: float
    per_token_and_context_s: float = 0.0

    def block_s(self, depth_tokens: IntArray, tokens: int) -> np.ndarray:
        """Seconds of a block of `tokens` tokens, each behind depth_tokens others."""
        return tokens * (self.per_token_s + self.per_token_and_context_s * (depth_tokens + tokens / 2))

    @staticmethod
    def of_fleet(fleet: Fleet) -> "PrefillCost":
        """The fleet's time per prompt token; attention's share of it by the model's arithmetic, 0 without a model."""
        token_s = fleet.worker.step_time.per_prefill_token_s
        if fleet.model is None:
            return PrefillCost(token_s)
        alone, behind = (fleet.model.flops_per_token(context, logits=False) for context in (0.0, 1000.0))
        return PrefillCost(token_s, token_s * (behind - alone) / 1000.0 / alone)


def accesses_of(trace: Trace, cost: PrefillCost) -> tuple[Accesses, int]:
    """Accesses of the trace's prefix hashes, else of its sessions, and the tokens of a block.

    Raises TraceError where it has neither.
    """
    if trace.prefix is not None:
        return prefix_accesses(trace, cost), trace.prefix_block_tokens
    if trace.session is None or trace.cached_tokens is None:
        raise TraceError(
            f"{trace.name}: nothing says what its prompts share; expected hashes of prompt blocks (Mooncake, "
            "Qwen-Bailian, the router's record) or sessions with cached tokens (agentic sessions)"
        )
    return session_accesses(trace, cost), SESSION_BLOCK_TOKENS


def prefix_accesses(trace: Trace, cost: PrefillCost, label: IntArray | None = None) -> Accesses:
    """Blocks of the trace's prompts, each of size 1 (`prefix_block_tokens` tokens).

    label: a class of each request that forecasts of reuse may use, known when it ends. Raises TraceError where the
    trace has no prefix hashes.
    """
    if trace.prefix is None:
        raise TraceError(f"{trace.name}: has no prefix hashes; expected a trace with the blocks of its prompts")
    distinct, number = np.unique(trace.prefix.values, return_inverse=True)
    item, parent, depth = number_blocks(number.astype(np.int64), len(distinct), trace.prefix.offsets)
    tokens = trace.prefix_block_tokens
    return Accesses(
        trace.arrival_s,
        Ragged(item, trace.prefix.offsets),
        parent,
        np.ones(len(parent), np.int64),
        cost.block_s(depth * tokens, tokens),
        _label(trace, label),
    )


def session_accesses(
    trace: Trace, cost: PrefillCost, label: IntArray | None = None, block_tokens: int = SESSION_BLOCK_TOKENS
) -> Accesses:
    """Contexts of the trace's sessions in whole blocks of `block_tokens` tokens, each of size 1.

    A call finds its `cached_tokens` in the latest earlier call of its session that has as many, and brings the rest of
    its prompt. Raises TraceError where the trace has no sessions or no cached_tokens.
    """
    if trace.session is None or trace.cached_tokens is None:
        missing = "session" if trace.session is None else "cached_tokens"
        raise TraceError(f"{trace.name}: has no {missing}; expected sessions with the cached tokens of each call")
    lengths = trace.prompt_tokens // block_tokens
    kept = np.minimum(trace.cached_tokens // block_tokens, lengths)
    _, session = np.unique(trace.session, return_inverse=True)
    item, parent, depth = number_contexts(session.astype(np.int64), lengths, kept)
    return Accesses(
        trace.arrival_s,
        Ragged.from_lengths(item, lengths),
        parent,
        np.ones(len(parent), np.int64),
        cost.block_s(depth * block_tokens, block_tokens),
        _label(trace, label),
    )


def _label(trace: Trace, label: IntArray | None) -> IntArray:
    return np.zeros(len(trace), np.int64) if label is None else np.asarray(label, np.int64)
