"""Small random instances, and what is best in each by trying every closed set."""

from functools import cache

import numpy as np

from shadowprice.caching import Accesses
from shadowprice.workload.trace import Ragged


def random_tree(rng: np.random.Generator, items: int, requests: int, sized: bool = False) -> Accesses:
    """Random chains of a random tree; costs grow, fall or do neither with depth."""
    parent = np.array([-1] + [int(rng.integers(-1, i)) for i in range(1, items)])
    chains = []
    for _ in range(requests):
        v, chain = int(rng.integers(items)), []
        while v >= 0:
            chain.append(v)
            v = int(parent[v])
        chains.append(chain[::-1])
    size = rng.integers(1, 4, items) if sized else np.ones(items, np.int64)
    return Accesses(
        np.cumsum(rng.exponential(20.0, requests)),
        Ragged.from_lengths(np.array([v for chain in chains for v in chain], np.int64), [len(c) for c in chains]),
        parent.astype(np.int64),
        size.astype(np.int64),
        rng.integers(0, 10, items).astype(np.float64),
        rng.integers(0, 2, requests),
    )


def alone(items: np.ndarray, cost_s: np.ndarray | None = None) -> Accesses:
    """Chains of one, of size 1."""
    count = int(items.max()) + 1
    return Accesses(
        np.arange(len(items), dtype=np.float64),
        Ragged.from_lengths(items.astype(np.int64), np.ones(len(items), np.int64)),
        np.full(count, -1),
        np.ones(count, np.int64),
        np.ones(count) if cost_s is None else cost_s,
        np.zeros(len(items), np.int64),
    )


def best_by_trying(accesses: Accesses, capacity: int) -> float:
    """The most seconds that any cache saves: every closed set that fits, after every request."""
    chains = [tuple(accesses.chain[i].tolist()) for i in range(len(accesses))]
    parent, size, cost_s = accesses.parent.tolist(), accesses.size.tolist(), accesses.cost_s.tolist()

    def closed(kept: frozenset[int]) -> bool:
        return all(parent[v] < 0 or parent[v] in kept for v in kept)

    @cache
    def subsets(there: frozenset[int]) -> list[frozenset[int]]:
        some = [frozenset[int]()]
        for v in sorted(there):
            some += [kept | {v} for kept in some]
        fits = [kept for kept in some if closed(kept) and sum(size[v] for v in kept) <= capacity]
        return [kept for kept in fits if not any(kept < other for other in fits)]

    @cache
    def best(i: int, kept: frozenset[int]) -> float:
        if i == len(chains):
            return 0.0
        saved = sum(cost_s[v] for v in chains[i] if v in kept)
        return saved + max(best(i + 1, then) for then in subsets(kept | frozenset(chains[i])))

    return best(0, frozenset())
