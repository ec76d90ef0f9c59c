"""The true optimum of tiny instances of the engine model, by shortest path over all that a scheduler could do."""

import heapq
import itertools
import math
from functools import lru_cache

from shadowprice.fleet import Worker
from shadowprice.workload import Trace

# State of a request: (computed KV tokens, generated tokens). In each step a scheduler may drop any request's KV, and
# give any request any number of the tokens it still has to compute.


def least_total_latency(trace: Trace, worker: Worker) -> float:
    """The least sum of finish - arrival [s] over all schedules, clairvoyant, preemptive, with free choice of chunks."""
    shapes = list(zip(trace.prompt_tokens.tolist(), trace.output_tokens.tolist(), strict=True))
    arrival = trace.arrival_s.tolist()
    steps_from = lru_cache(maxsize=None)(lambda state, present: tuple(_steps(state, present, shapes, worker)))
    frontier = [(0.0, 0.0, tuple((0, 0) for _ in shapes))]
    seen = set()
    while frontier:
        cost, now, state = heapq.heappop(frontier)
        if (now, state) in seen:
            continue
        seen.add((now, state))
        unfinished = [i for i, (_, o) in enumerate(shapes) if state[i][1] < o]
        if not unfinished:
            return cost
        present = tuple(i for i in unfinished if arrival[i] <= now)
        later = [arrival[i] for i in unfinished if arrival[i] > now]
        if later:  # one may idle until the next arrival
            heapq.heappush(frontier, (cost + len(present) * (min(later) - now), min(later), state))
        for step_s, after in steps_from(state, present):
            if later:
                waited = sum(max(0.0, now + step_s - max(now, arrival[i])) for i in unfinished)
                heapq.heappush(frontier, (cost + waited, now + step_s, after))
            else:  # all are here: only the state matters from now on, not the time
                heapq.heappush(frontier, (cost + step_s * len(unfinished), math.inf, after))
    raise AssertionError("no schedule finishes")


def least_makespan(trace: Trace, worker: Worker) -> float:
    """The least time until all requests are finished, over all schedules, likewise."""
    shapes = list(zip(trace.prompt_tokens.tolist(), trace.output_tokens.tolist(), strict=True))
    arrival = trace.arrival_s.tolist()
    steps_from = lru_cache(maxsize=None)(lambda state, present: tuple(_steps(state, present, shapes, worker)))
    frontier = [(0.0, tuple((0, 0) for _ in shapes))]
    seen = set()
    while frontier:
        now, state = heapq.heappop(frontier)
        unfinished = [i for i, (_, o) in enumerate(shapes) if state[i][1] < o]
        if not unfinished:
            return now
        later = [arrival[i] for i in unfinished if arrival[i] > now]
        if (state, len(later)) in seen:  # reached before with the same requests there: sooner is no worse
            continue
        seen.add((state, len(later)))
        if later:  # one may idle until the next arrival
            heapq.heappush(frontier, (min(later), state))
        present = tuple(i for i in unfinished if arrival[i] <= now)
        for step_s, after in steps_from(state, present):
            heapq.heappush(frontier, (now + step_s, after))
    raise AssertionError("no schedule finishes")


def _steps(state, present, shapes, worker):
    """All (duration, state after) of one step of the engine with the present requests."""
    options = []
    for i in present:
        (s, _), (computed, generated) = shapes[i], state[i]
        tokens = [(computed, t) for t in range(s + generated - computed + 1)]
        if computed > 0:
            tokens += [(0, t) for t in range(s + generated + 1)]
        options.append(tokens)
    time = worker.step_time
    for choice in itertools.product(*options):
        given = [t for _, t in choice]
        held = sum(int(worker.blocks_of(computed + t)) for computed, t in choice)
        active = sum(t > 0 for t in given)
        fits = held <= worker.kv_blocks and sum(given) <= worker.max_num_batched_tokens
        if active == 0 or active > worker.max_num_seqs or not fits:
            continue
        after = list(state)
        decoding = kv_tokens = prefill = 0
        for i, (computed, t) in zip(present, choice, strict=True):
            s, generated = shapes[i][0], state[i][1]
            if t == 1 and generated > 0 and computed == s + generated - 1:
                decoding += 1
                kv_tokens += float(worker.read_of(computed + 1))
            else:
                prefill += t
            done = t > 0 and computed + t == s + generated
            after[i] = (computed + t, generated + done)
        yield time.seconds(decoding, kv_tokens, prefill), tuple(after)
