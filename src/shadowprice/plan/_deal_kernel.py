"""Deals requests to the workers that are there, each to the one with the least work left."""

import numpy as np
import numpy.typing as npt

from shadowprice.kernels import njit


@njit(cache=True)
def deal(
    arrival_s: npt.NDArray[np.float64],
    charge_s: npt.NDArray[np.float64],
    first: int,
    last: int,
    size: int,
    backlog_s: npt.NDArray[np.float64],
    now_s: float,
    worker: npt.NDArray[np.int64],
) -> float:
    """Assign requests first..last-1 to workers 0..size-1; returns the time of the last one (now_s if there is none).

    backlog_s: work left at each worker at now_s, brought forward; each worker works off a second per second. Among
    equals (most of all when nobody has any left) they take turns.
    """
    for i in range(first, last):
        passed_s = arrival_s[i] - now_s
        now_s = arrival_s[i]
        for g in range(len(backlog_s)):
            backlog_s[g] = max(backlog_s[g] - passed_s, 0.0)
        turn = worker[i - 1] + 1 if i > 0 else 0
        best = turn % size
        for k in range(1, size):
            g = (turn + k) % size
            if backlog_s[g] < backlog_s[best]:
                best = g
        backlog_s[best] += charge_s[i]
        worker[i] = best
    return now_s
