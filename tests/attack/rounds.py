"""Attacks on the bounds of scheduling in the round model."""

import numpy as np

from shadowprice.scheduling.optimum import (
    evaluate,
    hindsight_interval,
    integer_optimum,
    lagrangian_bound,
    linear_bound,
    memory_and_lane_rows,
    memory_rows,
    place,
    ranked_starts,
    volume_bound,
)
from shadowprice.scheduling.problem import RoundInstance
from tests.attack.draw import Draw
from tests.attack.search import Attack

MOST_TRIED = 8  # orders in which the requests are placed, one by one at their earliest


def _instance(draw: Draw) -> RoundInstance:
    n = draw.whole("requests", 1, 5)
    memory = draw.whole("memory", 3, 20)
    prompt = draw.wholes("prompt", n, 1, max(1, min(6, memory - 2)))
    output = np.minimum(draw.wholes("output", n, 1, memory), memory - prompt)
    arrival = np.sort(draw.wholes("arrival", n, 0, 2 * n)) * (not draw.maybe("all at 0", 0.5))
    return RoundInstance(arrival.astype(np.int64), prompt, output, memory)


def _found(draw: Draw, instance: RoundInstance) -> int:
    """Total latency of the best schedule over some orders, now and then of the integer program's too."""
    rng = np.random.default_rng(draw.whole("orders", 0, 9))
    n = len(instance)
    starts = [place(instance, rng.permutation(n)) for _ in range(MOST_TRIED)]
    starts.append(ranked_starts(instance, instance.output_tokens))
    if draw.maybe("program", 0.2):
        found = integer_optimum(instance, starts[-1]).starts
        starts += [] if found is None else [found]
    return min(instance.total_latency(found) for found in starts)


def rounds_volume(draw: Draw) -> float | None:
    """Memory-time bound."""
    instance = _instance(draw)
    return _found(draw, instance) / volume_bound(instance)


def rounds_lagrangian(draw: Draw) -> float | None:
    """The Lagrangian under memory or lane rows, at ascended prices and at any."""
    instance = _instance(draw)
    lanes = draw.whole("lanes", 0, 2)
    rows = memory_rows(instance) if lanes == 0 else memory_and_lane_rows(instance, lanes)
    bound = lagrangian_bound(instance, rows, iterations=draw.pick("iterations", (0, 20, 200))).bound
    rounds = int(instance.arrival.max()) + draw.whole("rounds", 0, 40)
    rng = np.random.default_rng(draw.whole("prices", 0, 9))
    price = draw.power("scale", -2, 1) * rng.random((len(rows.capacity), rounds + 1))
    price[:, 0] = 0.0
    return _found(draw, instance) / max(bound, evaluate(instance, rows, price).bound, 1)


def rounds_linear(draw: Draw) -> float | None:
    """The linear relaxation with memory or lane rows, over any number of rounds."""
    instance = _instance(draw)
    lanes = draw.whole("lanes", 0, 2)
    rows = memory_rows(instance) if lanes == 0 else memory_and_lane_rows(instance, lanes)
    rounds = max(int(instance.arrival.max()), 1) + draw.whole("rounds", 0, 60)
    return _found(draw, instance) / max(linear_bound(instance, rows, rounds)[1].bound, 1)


def rounds_interval(draw: Draw) -> float | None:
    """The certified interval, quick and closed by the integer program over the columns that survive."""
    instance = _instance(draw)
    limit_s = draw.pick("limit", (0.0, 10.0))
    interval = hindsight_interval(instance, np.random.default_rng(0), moves=50, iterations=30, time_limit_s=limit_s)
    return _found(draw, instance) / max(interval.bound, 1)


ATTACKS: tuple[Attack, ...] = (rounds_volume, rounds_lagrangian, rounds_linear, rounds_interval)
