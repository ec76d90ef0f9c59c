"""What to evict: the rules of production and principled ones, each as a function that runs a trace through a cache.

A policy is any function `run(accesses, capacity, rng) -> Run`. None of those in POLICIES looks ahead: what it learns,
it learns while the trace passes. Guarantees, where there are any, stand with the policy.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.caching import _index_kernel as worth
from shadowprice.caching import _leaf_kernel as leaf
from shadowprice.caching._follow_kernel import follow
from shadowprice.caching._marking_kernel import evict_unmarked
from shadowprice.caching.problem import Accesses
from shadowprice.caching.queues import _queue_kernel as queue
from shadowprice.caching.queues._lists_kernel import new_lists
from shadowprice.caching.queues._sketch_kernel import new_sketch
from shadowprice.caching.queues._tinylfu_kernel import sizes


@dataclass(frozen=True)
class Run:
    """What a cache did: saved_s float64 [n], the seconds that each request found; evicted, the items it evicted in
    order, and ends [n], how many of them until the end of each request."""

    saved_s: FloatArray
    evicted: IntArray
    ends: IntArray

    @property
    def saved_total_s(self) -> float:
        """Seconds of recomputation saved."""
        return float(self.saved_s.sum())


Policy = Callable[[Accesses, int, np.random.Generator], Run]


def blank(accesses: Accesses) -> tuple[FloatArray, IntArray, IntArray]:
    """What a kernel fills: seconds saved, evicted items, how many until the end of each request."""
    n = len(accesses)
    return np.zeros(n), np.empty(len(accesses.chain.values) + 1, np.int64), np.zeros(n, np.int64)


def made(filled: tuple[FloatArray, IntArray, IntArray]) -> Run:
    """The run that a kernel has filled in."""
    saved_s, evicted, ends = filled
    return Run(saved_s, evicted[: ends[-1] if len(ends) else 0], ends)


def _by_leaf(code: int, compete: bool = False, spare: int = 0) -> Policy:
    def run(accesses: Accesses, capacity: int, rng: np.random.Generator) -> Run:
        filled, chain = blank(accesses), accesses.chain
        spares = np.full(len(accesses), spare)
        parent, size, cost_s = accesses.parent, accesses.size, accesses.cost_s
        leaf.evict_least_leaf(
            chain.offsets, chain.values, parent, size, cost_s, spares, np.empty(0), capacity, code, compete, *filled
        )
        return made(filled)

    return run


def _by_worth(code: int, parameter: float = 0.0) -> Policy:
    def run(accesses: Accesses, capacity: int, rng: np.random.Generator) -> Run:
        filled, chain, label = blank(accesses), accesses.chain, accesses.label
        labels = int(label.max(initial=0)) + 1
        of_items = (accesses.parent, accesses.size, accesses.cost_s)
        worth.evict_least_worth(
            code,
            parameter,
            accesses.time_s,
            chain.offsets,
            chain.values,
            *of_items,
            label,
            labels,
            capacity,
            rng,
            *filled,
        )
        return made(filled)

    return run


def _by_queue(code: int) -> Policy:
    def run(accesses: Accesses, capacity: int, rng: np.random.Generator) -> Run:
        filled, chain = blank(accesses), accesses.chain
        lists = new_lists(accesses.size, accesses.parent, 4)
        sketch = new_sketch(max(1, sizes(capacity)[1]) if code == queue.TINYLFU else 1)
        queue.evict_from_queues(code, lists, sketch, chain.offsets, chain.values, accesses.cost_s, capacity, *filled)
        return made(filled)

    return run


def marking(accesses: Accesses, capacity: int, rng: np.random.Generator) -> Run:
    """Randomised marking on the tree (RLT, 2601.18999, after Fiat et al. 1991): evict an unmarked leaf at random.

    On chains of one with unit sizes and costs its expected misses are at most 2 H_k times the optimum's, plus k, where
    k is the capacity (Fiat, Karp, Luby, McGeoch, Sleator, Young 1991); LRU's ratio is k.
    """
    filled, chain = blank(accesses), accesses.chain
    evict_unmarked(chain.offsets, chain.values, accesses.parent, accesses.size, accesses.cost_s, capacity, rng, *filled)
    return made(filled)


def following(*experts: Policy, guard: Policy = marking) -> Policy:
    """A cache that follows the best of `experts`, each run beside it as a shadow that only notes what it would hold.

    Which one is drawn by weights that fall with what each loses (hedge); it holds all of the followed shadow's items
    that it ever had, and evicts only what that one does not hold. Ours; the guarantee is the guard's: with cost = the
    seconds recomputed, D = capacity x the dearest item per unit of size seen, s = the dearest request,

        cost <= (1 + gamma) cost of `guard` + 2 D + s          on every sequence, gamma = 0.1.

    Proof. While it follows shadow e, let P = the cost of e's items that it lacks, at most D. An item that e finds and
    it does not is made, and leaves P; where e misses too both pay; nothing that e holds is evicted here (held >
    capacity >= what e holds, so something else is there, and the deepest such has nothing below it, since e's set is
    closed). So in one stretch it pays at most e's cost + D. A guarded stretch begins after the first request at which
    cost > (1 + gamma) guard + D, hence with cost <= (1 + gamma) guard + D + s; in it the cost grows by at most the
    guard's + D. It ends where cost <= (1 + gamma) guard - D, from where the argument starts anew.

    With marking as the guard the expected cost is so at most 1.1 x 2 H_k times the optimum's and a constant, for unit
    sizes and costs and chains of one. The experts' own randomness and the guard's come from one generator.
    """

    def run(accesses: Accesses, capacity: int, rng: np.random.Generator) -> Run:
        shadows = [expert(accesses, capacity, rng) for expert in (*experts, guard)]
        filled, chain = blank(accesses), accesses.chain
        evicted = np.zeros((len(shadows), max(len(shadow.evicted) for shadow in shadows)), np.int64)
        for row, shadow in zip(evicted, shadows, strict=True):
            row[: len(shadow.evicted)] = shadow.evicted
        saved = np.stack([shadow.saved_s for shadow in shadows])
        ends = np.stack([shadow.ends for shadow in shadows])
        of_items = (accesses.parent, accesses.size, accesses.cost_s)
        follow(chain.offsets, chain.values, *of_items, capacity, saved, evicted, ends, rng, *filled)
        return made(filled)

    return run


fifo: Policy = _by_leaf(leaf.FIFO)
lru: Policy = _by_leaf(leaf.LRU)
lfu: Policy = _by_leaf(leaf.LFU)
gdsf: Policy = _by_leaf(leaf.GDSF)
lec: Policy = _by_leaf(leaf.LEC, compete=True)
sieve: Policy = _by_queue(queue.SIEVE)
s3_fifo: Policy = _by_queue(queue.S3FIFO)
arc: Policy = _by_queue(queue.ARC)
w_tinylfu: Policy = _by_queue(queue.TINYLFU)
lhd: Policy = _by_worth(worth.LHD)
reuse_index: Policy = _by_worth(worth.INDEX)


def t_lru(spare: int) -> Policy:
    """LRU that first gives up the last `spare` items of every chain, which the TTFT allows to recompute (2510.15152).

    spare: items; tokens that may be prefilled within the TTFT, less those that the next turn is expected to bring.
    """
    return _by_leaf(leaf.TLRU, spare=spare)


def exponential_reuse(life_s: float = 300.0) -> Policy:
    """Evict what is least likely to be reused within life_s, by an exponential law for each label (2506.02634)."""
    return _by_worth(worth.EXPONENTIAL, life_s)


def marconi(weight: float = 1.0) -> Policy:
    """Evict the least weight x seconds saved per size + 1 / age, each over the sample's largest (2411.19379)."""
    return _by_worth(worth.MARCONI, weight)


POLICIES: dict[str, Policy] = {
    "fifo": fifo,
    "lru": lru,
    "lfu": lfu,
    "arc": arc,
    "sieve": sieve,
    "s3_fifo": s3_fifo,
    "w_tinylfu": w_tinylfu,
    "lhd": lhd,
    "gdsf": gdsf,
    "lec": lec,
    "t_lru": t_lru(2),
    "exponential_reuse": exponential_reuse(),
    "marconi": marconi(),
    "marking": marking,
    "reuse_index": reuse_index,
    "experts": following(reuse_index, lru, gdsf, lec),
}
