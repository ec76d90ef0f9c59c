# mypy: allow-untyped-defs, allow-untyped-calls
"""The round model under the gates that do not look ahead: requests may overflow the memory and lose their work."""

import heapq

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import IntArray
from shadowprice.kernels import njit

RESERVE_PEAK, PROTECT = 1, 3  # the values of scheduling.policies.Gate; the other gate here is 0, OPTIMISTIC
WORST_KEY, CLEAR = 1, 2  # of scheduling.policies.Victim; the other is 0, LAST_ADMITTED


@njit(cache=True)
def choose_victims(
    running: list[np.int64],
    held: int,
    memory: int,
    rank: IntArray,
    size: IntArray,
    victim: int,
    beta: float,
    rng: np.random.Generator,
) -> list[int]:
    """Positions in `running`, descending, of those cleared so that the coming round, `held` tokens now, fits.

    running: requests in order of admission; size: int64 [n], tokens of each in the coming round.
    """
    gone = np.zeros(len(running), dtype=np.bool_)
    while held > memory:
        if victim == CLEAR:
            for p in range(len(running)):
                if not gone[p] and rng.random() < beta:
                    gone[p] = True
                    held -= size[running[p]]
            continue
        worst = -1
        for p in range(len(running)):
            if not gone[p] and (worst < 0 or victim != WORST_KEY or rank[running[p]] > rank[running[worst]]):
                worst = p
        gone[worst] = True
        held -= size[running[worst]]
    return [p for p in range(len(running) - 1, -1, -1) if gone[p]]


@njit(cache=True)
def head_of_queue(
    heap: list[np.int64],
    waits: npt.NDArray[np.bool_],
    request_of_rank: IntArray,
    by_arrival: IntArray,
    arrival: IntArray,
    oldest: int,
    came: int,
    now: int,
    max_wait: float,
) -> tuple[int, int]:
    """The waiting request that may join next (-1: nobody waits), and the place in by_arrival of the oldest waiting."""
    while oldest < came and not waits[by_arrival[oldest]]:
        oldest += 1
    while len(heap) > 0 and not waits[request_of_rank[heap[0]]]:
        heapq.heappop(heap)  # it left by age, or it is here twice after it was cleared
    if oldest == came:
        return -1, oldest
    first = by_arrival[oldest]
    return (first if now - arrival[first] > max_wait else request_of_rank[heap[0]]), oldest


@njit(cache=True)
def may_join(gate: int, held: int, peaks: int, alone: bool, memory: int, alpha: float) -> bool:
    """Whether the coming round, `held` tokens with the newcomer, and the peaks of all pass the gate."""
    if gate == RESERVE_PEAK:
        return peaks <= memory
    if gate == PROTECT and not alone:
        return held <= (1 - alpha) * memory
    return held <= memory


@njit(cache=True)
def gated_starts(
    rank: IntArray,
    by_arrival: IntArray,
    arrival: IntArray,
    prompt: IntArray,
    output: IntArray,
    memory: int,
    max_wait: float,
    gate: int,
    alpha: float,
    victim: int,
    beta: float,
    rng: np.random.Generator,
    last_round: int,
) -> tuple[IntArray, IntArray]:
    """Final start rounds (-1: not finished by last_round) and times cleared, two int64 [n].

    rank: a permutation of 0..n-1, smaller first; by_arrival: indices by arrival. One pass of the loop is one round.
    """
    n = len(arrival)
    request_of_rank, place = np.argsort(rank), np.argsort(by_arrival)
    starts, cleared = np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.int64)
    waits, size = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.int64)
    heap = [rank[0] for _ in range(0)]
    running = [rank[0] for _ in range(0)]
    came, oldest, now = 0, 0, 0
    while now <= last_round:
        running = [i for i in running if starts[i] + output[i] > now]
        while came < n and arrival[by_arrival[came]] <= now:
            waits[by_arrival[came]] = True
            heapq.heappush(heap, rank[by_arrival[came]])
            came += 1
        held, peaks = 0, 0
        for i in running:
            size[i] = prompt[i] + now - starts[i] + 1
            held += size[i]
            peaks += prompt[i] + output[i]
        overflow = held > memory
        if overflow:
            for p in choose_victims(running, held, memory, rank, size, victim, beta, rng):
                i = running.pop(p)
                held -= size[i]
                peaks -= prompt[i] + output[i]
                cleared[i] += 1
                starts[i] = -1
                waits[i] = True
                oldest = min(oldest, int(place[i]))
                heapq.heappush(heap, rank[i])
        may_come = not overflow or len(running) == 0
        while may_come:
            i, oldest = head_of_queue(heap, waits, request_of_rank, by_arrival, arrival, oldest, came, now, max_wait)
            alone = len(running) == 0
            may_come = i >= 0 and may_join(
                gate, held + prompt[i] + 1, peaks + prompt[i] + output[i], alone, memory, alpha
            )
            if may_come:
                waits[i] = False
                starts[i] = now
                running.append(i)
                held += prompt[i] + 1
                peaks += prompt[i] + output[i]
        if len(running) == 0 and came == n:
            break
        now = int(arrival[by_arrival[came]]) if len(running) == 0 else now + 1
    for i in running:
        starts[i] = -1
    return starts, cleared
