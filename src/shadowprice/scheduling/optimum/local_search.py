"""Good schedules of the round model: shortest first with the look-ahead check, and annealing over start orders."""

import numpy as np
import numpy.typing as npt

from shadowprice.scheduling.optimum._look_ahead_kernel import look_ahead_starts
from shadowprice.scheduling.optimum._place_kernel import anneal_orders, place_in_order
from shadowprice.scheduling.problem import IntArray, RoundInstance

Generator = np.random.Generator


def ranked_starts(instance: RoundInstance, key: npt.NDArray[np.generic], max_wait: float = np.inf) -> IntArray:
    """Start rounds, int64 [n], of the look-ahead rule with the waiting taken by ascending key [n] (ties by arrival).

    key = output_tokens is MC-SF, key = arrival is MC-Benchmark (2502.07115).
    """
    if len(instance) == 0:
        return np.empty(0, dtype=np.int64)
    by_arrival = np.argsort(instance.arrival, kind="stable")
    rank = np.empty(len(instance), dtype=np.int64)
    rank[by_arrival[np.argsort(key[by_arrival], kind="stable")]] = np.arange(len(instance))
    return look_ahead_starts(rank, by_arrival, *_columns(instance), float(max_wait))


def place(instance: RoundInstance, order: IntArray) -> IntArray:
    """Start rounds, int64 [n], when the requests are placed in `order`, each at the earliest round where it fits.

    Nobody placed before is moved; unlike in a queue, a later one may start before an earlier one.
    """
    starts = np.zeros(len(instance), dtype=np.int64)
    place_in_order(order, 0, *_columns(instance), np.zeros(_rounds(instance), dtype=np.int64), starts)
    return starts


def search(instance: RoundInstance, rng: Generator, moves: int = 100_000, seeds: tuple[IntArray, ...] = ()) -> IntArray:
    """The best start rounds found, int64 [n]: never worse than MC-SF nor than any of the schedules `seeds`.

    Simulated annealing over orders: swap two requests or move one, then place all in order. It starts from the best
    of MC-SF, smallest volume first and the orders of the seeds' starts. Deliberate idling before a start is not tried,
    so the optimum may be out of its reach.
    """
    if len(instance) == 0:
        return np.empty(0, dtype=np.int64)
    schedules = [*seeds, ranked_starts(instance, instance.output_tokens), ranked_starts(instance, instance.volume)]
    schedules += [place(instance, np.argsort(starts, kind="stable")) for starts in schedules]
    best = min(schedules, key=instance.total_latency)
    if moves > 0 and len(instance) > 1:
        hot = float(np.mean(instance.output_tokens))
        order = np.argsort(best, kind="stable")
        _, found, _ = anneal_orders(order, *_columns(instance), rng.random((moves, 4)), hot, min(hot, 0.5))
        best = min(best, found, key=instance.total_latency)
    return best


def _columns(instance: RoundInstance) -> tuple[IntArray, IntArray, IntArray, int]:
    return instance.arrival, instance.prompt_tokens, instance.output_tokens, int(instance.memory_tokens)


def _rounds(instance: RoundInstance) -> int:
    """Rounds that any placement stays within: after the last arrival some request is active in every round."""
    output = instance.output_tokens
    return int(instance.arrival.max(initial=0) + output.sum() + output.max(initial=0) + 2)
