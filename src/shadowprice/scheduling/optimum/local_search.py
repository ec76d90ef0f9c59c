"""Good schedules of the round model: shortest first with the look-ahead check, and annealing over start orders."""

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import IntArray
from shadowprice.scheduling.optimum._look_ahead_kernel import look_ahead_starts
from shadowprice.scheduling.optimum._place_kernel import anneal_orders, place_in_order
from shadowprice.scheduling.problem import RoundInstance

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

    Simulated annealing: swap two requests in an order or move one, then place all in order, each as early as it fits.
    The second half of the moves also holds requests back a little, for some optima are reached by no order: a request
    started later is smaller when others finish. It starts from the best of MC-SF, smallest volume first and the orders
    of the seeds' starts.
    """
    if len(instance) == 0:
        return np.empty(0, dtype=np.int64)
    schedules = [*seeds, ranked_starts(instance, instance.output_tokens), ranked_starts(instance, instance.volume)]
    schedules += [place(instance, np.argsort(starts, kind="stable")) for starts in schedules]
    best = min(schedules, key=instance.total_latency)
    if len(instance) < 2:
        return best
    mean = float(np.mean(instance.output_tokens))
    for hot, holding in ((0.3 * mean + 1.0, 0.0), (2.0, 0.1)):
        draws = rng.random((moves // 2, 5))
        used = np.zeros(2 * _rounds(instance), dtype=np.int64)
        order = np.argsort(best, kind="stable")
        found = anneal_orders(order, *_columns(instance), used, draws, hot, 0.5, holding)
        best = min(best, found, key=instance.total_latency)
    return best


def _columns(instance: RoundInstance) -> tuple[IntArray, IntArray, IntArray, int]:
    return instance.arrival, instance.prompt_tokens, instance.output_tokens, int(instance.memory_tokens)


def _rounds(instance: RoundInstance) -> int:
    """Rounds that any placement stays within: after the last arrival some request is active in every round."""
    output = instance.output_tokens
    return int(instance.arrival.max(initial=0) + output.sum() + output.max(initial=0) + 2)
