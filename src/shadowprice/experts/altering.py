"""Balancing that changes what the model computes: reported beside the others with the share that it changes.

None of these is a dispatch of the same work: tokens lose experts, or get others than the router chose. What that does
to the answers is not a matter of load and is not measured here.
"""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import ExpertError


@dataclass(frozen=True)
class Altered:
    """tokens: [batches, experts] computed instead. dropped, added: shares of the router's (token, expert) choices that
    are left out, and of choices computed that the router did not make; together what the model's output loses."""

    tokens: FloatArray
    dropped: float
    added: float


def capacity_drop(counts: FloatArray, capacity_factor: float) -> Altered:
    """Each expert takes at most ceil(factor * mean expert load) tokens, the rest is dropped (GShard, Switch)."""
    if not capacity_factor > 0:
        raise ExpertError(f"capacity factor {capacity_factor}; expected > 0")
    capacity = np.ceil(capacity_factor * counts.mean(axis=1, keepdims=True) - 1e-9)
    kept = np.minimum(counts, capacity)
    return Altered(kept, 1.0 - float(kept.sum() / counts.sum()), 0.0)


def expert_choice(counts: FloatArray) -> Altered:
    """Each expert takes the same number of tokens, those that score it highest (Zhou et al. 2022).

    Loads are even by construction. From counts alone follows what must change at least: an expert chosen n times that
    takes c loses n - c of them where n > c, and gets c - n tokens that did not choose it where n < c.
    """
    share = counts.mean(axis=1, keepdims=True)
    dropped = float(np.maximum(counts - share, 0.0).sum() / counts.sum())
    return Altered(np.broadcast_to(share, counts.shape).copy(), dropped, dropped)


def loss_free_bias(
    scores: FloatArray, top_k: int, batch_tokens: int, step: float = 1e-3
) -> tuple[Altered, FloatArray, IntArray]:
    """Auxiliary-loss-free balancing (Wang et al. 2024; DeepSeek-V3) at inference: returns (loads, final bias, choices).

    scores: [tokens, experts], the router's. Each token takes the top_k of score + bias; after each batch every expert
    below the mean load gets + step, every one above it - step. Needs scores: ids of the chosen experts do not do.
    """
    if scores.ndim != 2 or not 1 <= top_k <= scores.shape[1] or batch_tokens < 1 or len(scores) < batch_tokens:
        raise ExpertError(
            f"loss-free bias: scores {list(scores.shape)}, top {top_k}, batches of {batch_tokens}; expected scores "
            "[tokens, experts] with at least one batch, and 1 <= top_k <= experts"
        )
    experts = scores.shape[1]
    bias = np.zeros(experts)
    batches = len(scores) // batch_tokens
    loads = np.empty((batches, experts))
    choices = np.empty((batches * batch_tokens, top_k), np.int64)
    changed = 0
    for b in range(batches):
        rows = slice(b * batch_tokens, (b + 1) * batch_tokens)
        chosen = np.argpartition(-(scores[rows] + bias), top_k - 1, axis=1)[:, :top_k]
        wanted = np.argpartition(-scores[rows], top_k - 1, axis=1)[:, :top_k]
        changed += int(np.sum(~(chosen[:, :, None] == wanted[:, None, :]).any(axis=2)))
        loads[b] = np.bincount(chosen.ravel(), minlength=experts)
        bias += step * np.sign(loads[b].mean() - loads[b])
        choices[rows] = chosen
    share = changed / choices.size
    return Altered(loads, share, share), bias, choices
