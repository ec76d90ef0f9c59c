"""Memory-time bounds on the hindsight optimum of the round model, for any number of requests."""

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.scheduling.optimum._srpt_kernel import srpt_completions
from shadowprice.scheduling.problem import RoundInstance


def volume_bound(instance: RoundInstance) -> int:
    """No schedule has a smaller total latency [rounds]; O(n log n), a million requests in seconds. Ours.

    Request i needs vol_i token rounds between its arrival and its finish, and a round supplies at most M. So a schedule
    is also one of a single machine that works off M token rounds per round, with releases a_i and work vol_i, where
    every request completes no later. Shortest remaining processing time first completes, by every time t, at least as
    many requests as any preemptive schedule of that machine (an exchange argument: Schrage 1968), so its j-th
    completion C_(j) is a lower bound on the j-th finish round of any schedule. That is a whole number, hence at least
    ceil(C_(j)); and at least the j-th smallest a_i + o_i, since no request finishes before a_i + o_i. The larger of
    the two is summed over j. When all arrive at 0, C_(j) is the sum of the j smallest volumes over M. The arithmetic
    is in whole numbers, time counted in 1/M rounds.
    """
    if len(instance) == 0:
        return 0
    finishes = earliest_finishes(instance)
    return int(finishes.sum() - instance.arrival.sum())


def earliest_finishes(instance: RoundInstance) -> IntArray:
    """For j = 1..n a round before which no schedule has finished j requests, int64 [n] ascending (see volume_bound)."""
    by_arrival = np.argsort(instance.arrival, kind="stable")
    memory = instance.memory_tokens
    done = srpt_completions(instance.arrival[by_arrival] * memory, instance.volume[by_arrival])
    alone = np.sort(instance.arrival + instance.output_tokens)
    return np.maximum(-(-done // memory), alone)
