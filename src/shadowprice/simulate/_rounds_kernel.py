# mypy: allow-untyped-defs, allow-untyped-calls
"""The round model under the gates that do not look ahead: requests may overflow the memory and lose their work."""

import heapq
from typing import NamedTuple

import numpy as np

from shadowprice.kernels import njit

RESERVE_PEAK, PROTECT, HEADROOM = 1, 3, 4  # the values of scheduling.ranked.Gate; the other gate here is 0, OPTIMISTIC
WORST_KEY, CLEAR = 1, 2  # of scheduling.ranked.Victim; the other is 0, LAST_ADMITTED

# One row per request. rank: place in the order of the keys that the waiting have, place: in that of arrival, each a
# permutation; level: its row of the table of keys; size: tokens it holds in the coming round; start: round, -1: none.
ROUND_REQUEST = np.dtype(
    [(name, np.int64) for name in ["arrival", "prompt", "output", "rank", "place", "level", "size", "start", "cleared"]]
    + [("waits", np.bool_)]
)


class RoundRules(NamedTuple):
    """Tokens of memory, how the policy gates and clears, and the round after which nothing is waited for."""

    memory: int
    max_wait: float
    gate: int
    alpha: float
    headroom: int
    victim: int
    beta: float
    last_round: int


@njit(cache=True)
def key_running(requests, keys, i):
    """The key that i has by now, having made a token in each round of its run."""
    made = requests[i].size - requests[i].prompt - 1
    while made >= keys[requests[i].level].until:
        requests[i].level += 1
    return keys[requests[i].level].running


@njit(cache=True)
def choose_victims(requests, running, held, keys, rules, rng):
    """Positions in `running`, descending, of those cleared so that the coming round, `held` tokens now, fits.

    running: requests in order of admission.
    """
    gone = np.zeros(len(running), dtype=np.bool_)
    while held > rules.memory:
        if rules.victim == CLEAR:
            for p in range(len(running)):
                if not gone[p] and rng.random() < rules.beta:
                    gone[p] = True
                    held -= requests[running[p]].size
            continue
        worst, worst_key = -1, 0.0
        for p in range(len(running)):
            if gone[p]:
                continue
            key = key_running(requests, keys, running[p])
            if (
                worst < 0
                or rules.victim != WORST_KEY
                or key > worst_key
                or (key == worst_key and requests[running[p]].place > requests[running[worst]].place)
            ):
                worst, worst_key = p, key
        gone[worst] = True
        held -= requests[running[worst]].size
    return [p for p in range(len(running) - 1, -1, -1) if gone[p]]


@njit(cache=True)
def head_of_queue(requests, heap, of_rank, of_place, oldest, came, now, max_wait):
    """The waiting request that may join next (-1: nobody waits), and the place of the oldest waiting.

    of_rank, of_place: the request with each rank, and with each place; came: how many have arrived.
    """
    while oldest < came and not requests[of_place[oldest]].waits:
        oldest += 1
    while len(heap) > 0 and not requests[of_rank[heap[0]]].waits:
        heapq.heappop(heap)  # it left by age, or it is here twice after it was cleared
    if oldest == came:
        return -1, oldest
    first = of_place[oldest]
    return (first if now - requests[first].arrival > max_wait else of_rank[heap[0]]), oldest


@njit(cache=True)
def may_join(rules, held, peaks, count):
    """Whether the coming round, `held` tokens of `count` requests with the newcomer, and all peaks pass the gate."""
    if rules.gate == RESERVE_PEAK:
        return peaks <= rules.memory
    if rules.gate == PROTECT and count > 1:
        return held <= (1 - rules.alpha) * rules.memory
    if rules.gate == HEADROOM and count > 1:
        return held + rules.headroom * count <= rules.memory
    return held <= rules.memory


@njit(cache=True)
def gated_starts(requests, keys, rules, rng):
    """Fill `start`, the round of the run that finished (-1: not by last_round), and `cleared`, how often it was.

    keys: those of the running by level; a cleared request begins anew. One pass of the loop is one round.
    """
    n = len(requests)
    of_rank, of_place = np.argsort(requests["rank"]), np.argsort(requests["place"])
    first_level = requests["level"].copy()
    heap = [of_rank[0] for _ in range(0)]
    running = [of_rank[0] for _ in range(0)]
    came, oldest, now = 0, 0, 0
    while now <= rules.last_round:
        running = [i for i in running if requests[i].start + requests[i].output > now]
        while came < n and requests[of_place[came]].arrival <= now:
            requests[of_place[came]].waits = True
            heapq.heappush(heap, requests[of_place[came]].rank)
            came += 1
        held, peaks = 0, 0
        for i in running:
            requests[i].size = requests[i].prompt + now - requests[i].start + 1
            held += requests[i].size
            peaks += requests[i].prompt + requests[i].output
        overflow = held > rules.memory
        if overflow:
            for p in choose_victims(requests, running, held, keys, rules, rng):
                i = running.pop(p)
                held -= requests[i].size
                peaks -= requests[i].prompt + requests[i].output
                requests[i].cleared += 1
                requests[i].start = -1
                requests[i].level = first_level[i]
                requests[i].waits = True
                oldest = min(oldest, requests[i].place)
                heapq.heappush(heap, requests[i].rank)
        may_come = not overflow or len(running) == 0
        while may_come:
            i, oldest = head_of_queue(requests, heap, of_rank, of_place, oldest, came, now, rules.max_wait)
            if i < 0 or not may_join(
                rules,
                held + requests[i].prompt + 1,
                peaks + requests[i].prompt + requests[i].output,
                len(running) + 1,
            ):
                break
            requests[i].waits = False
            requests[i].start = now
            running.append(i)
            held += requests[i].prompt + 1
            peaks += requests[i].prompt + requests[i].output
        if len(running) == 0 and came == n:
            break
        now = requests[of_place[came]].arrival if len(running) == 0 else now + 1
    for i in running:
        requests[i].start = -1
