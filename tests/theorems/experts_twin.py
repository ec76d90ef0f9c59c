"""Plain-Python references for the dispatch kernels, written for reading."""

from fractions import Fraction
from itertools import combinations


def least_largest_load(counts: list[int], holders: list[set[int]], gpus: int) -> Fraction:
    """max over sets S of GPUs of n({e: all replicas inside S}) / |S|: the min-cut formula, set by set."""
    best = Fraction(0)
    for size in range(1, gpus + 1):
        for chosen in combinations(range(gpus), size):
            inside = set(chosen)
            best = max(best, Fraction(sum(n for n, r in zip(counts, holders, strict=True) if r <= inside), size))
    return best


def least_largest_load_over_edges(load: list[int], capacity: list[int], edges: list[tuple[int, int]]) -> Fraction:
    """max over sets S of (load of S - capacity of the edges leaving S) / |S|."""
    best = Fraction(0)
    for size in range(1, len(load) + 1):
        for chosen in combinations(range(len(load)), size):
            leaving = sum(c for c, (u, v) in zip(capacity, edges, strict=True) if u in chosen and v not in chosen)
            best = max(best, Fraction(sum(load[g] for g in chosen) - leaving, size))
    return best


def even_largest(counts: list[float], slots: list[int], gpus: int) -> float:
    """Largest GPU load if each expert's tokens are split evenly over its slots."""
    per_gpu = len(slots) // gpus
    load = [0.0] * gpus
    for slot, expert in enumerate(slots):
        load[slot // per_gpu] += counts[expert] / slots.count(expert)
    return max(load)
