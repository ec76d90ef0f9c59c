"""The compiled heart of the engine simulator: one worker with the semantics of vLLM's V1 scheduler.

`advance` runs until all requests are done, or, with a policy written in Python, until it must be asked. A full
step costs O(running); between events (nothing finishes, arrives or joins) steps cost a few nanoseconds each.
One long file on purpose: numba's cache notices a change only in the file of the function that it cached.
"""

import numpy as np
from numba import njit

from shadowprice.simulate._engine_state import (
    ASK,
    BUSY_S,
    CLEAR,
    DONE,
    END,
    FINISHED,
    FREE,
    KV_TOKEN_S,
    LEAVING,
    LOOK_AHEAD,
    N_BY_FINISH,
    N_HEAP,
    N_LEAVING,
    N_RUNNING,
    N_WAITING,
    NEXT,
    NO_MEMORY,
    NO_SLOT,
    NOBODY,
    NOW,
    OLDEST,
    OPTIMISTIC,
    PEAK_KV,
    PREEMPTED,
    RESERVE_PEAK,
    RETRY,
    RUNNING,
    RUNNING_S,
    SAMPLES,
    STEPS,
    STRIDE,
    STUCK,
    WAITING,
    WORST_KEY,
)


@njit(cache=True)
def before(key, a, b):
    """Does request a wait ahead of b: smaller key, then earlier arrival."""
    return key[a] < key[b] or (key[a] == key[b] and a < b)


@njit(cache=True)
def push(heap, size, key, r):
    """Insert r into the binary heap of `size` entries."""
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if not before(key, r, heap[parent]):
            break
        heap[i] = heap[parent]
        i = parent
    heap[i] = r


@njit(cache=True)
def pop(heap, size, key):
    """Remove the top of the heap of `size` entries."""
    last = heap[size - 1]
    size -= 1
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and before(key, heap[child + 1], heap[child]):
            child += 1
        if not before(key, heap[child], last):
            break
        heap[i] = heap[child]
        i = child
    heap[i] = last


@njit(cache=True)
def wait(load, rules, state, r):
    """Put r among the waiting."""
    counts = state.counts
    state.status[r] = WAITING
    counts[N_WAITING] += 1
    if r < counts[OLDEST]:
        counts[OLDEST] = r
    if not rules.asks and not state.in_heap[r]:
        push(state.heap, counts[N_HEAP], load.key, r)
        counts[N_HEAP] += 1
        state.in_heap[r] = True


@njit(cache=True)
def pull_arrivals(load, rules, state):
    """Everything that has arrived by now waits."""
    counts = state.counts
    n = len(load.arrival_s)
    while counts[NEXT] < n and load.arrival_s[counts[NEXT]] <= state.clock[NOW]:
        counts[NEXT] += 1
        wait(load, rules, state, counts[NEXT] - 1)


@njit(cache=True)
def oldest_waiting(state):
    """The waiting request that arrived first; -1 if nobody waits."""
    counts = state.counts
    if counts[N_WAITING] == 0:
        return -1
    while state.status[counts[OLDEST]] != WAITING:
        counts[OLDEST] += 1
    return counts[OLDEST]


@njit(cache=True)
def head_of_queue(load, rules, state):
    """Who is to be admitted next: the oldest if it has waited past the bound, else the smallest key; -1 if nobody."""
    counts = state.counts
    oldest = oldest_waiting(state)
    if oldest < 0:
        return -1
    if state.clock[NOW] - load.arrival_s[oldest] > rules.max_wait_s:
        return oldest
    while state.status[state.heap[0]] != WAITING:
        state.in_heap[state.heap[0]] = False
        pop(state.heap, counts[N_HEAP], load.key)
        counts[N_HEAP] -= 1
    return state.heap[0]


@njit(cache=True)
def blocks(tokens, block_size):
    """Blocks that hold so many tokens."""
    return (tokens + block_size - 1) // block_size


@njit(cache=True)
def steps_left(load, state, r):
    """Tokens that r is still forecast to make, at least one."""
    return max(load.predicted[r] - state.generated[r], 1)


@njit(cache=True)
def context(load, state, r):
    """KV tokens r holds once its present context is computed."""
    return load.prompt[r] + state.generated[r]


@njit(cache=True)
def steps_held(load, rules, state, r):
    """Steps for which r will hold blocks: to its last token, and one more when steps are decided a step ahead."""
    return steps_left(load, state, r) + (1 if rules.lag else 0)


@njit(cache=True)
def fits_ahead(load, rules, state, candidate):
    """Does every forecast completion of the running and the candidate find the blocks of those still alive free?

    Usage only grows between completions, so these are the only moments to test. `by_finish` lists the
    running by forecast completion; a request that stays d more steps holds context + d - 1 tokens in the d-th of them.
    """
    members = state.by_finish
    size = state.counts[N_BY_FINISH]
    bs = rules.block_size
    candidate_left = steps_held(load, rules, state, candidate)
    alive = size + 1
    tokens = context(load, state, candidate)
    for i in range(size):
        tokens += context(load, state, members[i])
    # one pass over completions in order, the candidate merged in at its place
    i = 0
    merged = False
    while i < size or not merged:
        if not merged and (i == size or candidate_left <= steps_held(load, rules, state, members[i])):
            r, d = candidate, candidate_left
            merged = True
        else:
            r = members[i]
            d = steps_held(load, rules, state, r)
            i += 1
        if tokens + alive * (d - 1) > rules.kv_blocks * bs:
            return False
        if tokens + alive * (d - 1 + bs - 1) > rules.kv_blocks * bs:  # rounding to blocks decides: count them
            used = 0
            if candidate_left >= d:
                used += blocks(context(load, state, candidate) + d - 1, bs)
            for j in range(size):
                if steps_held(load, rules, state, members[j]) >= d:
                    used += blocks(context(load, state, members[j]) + d - 1, bs)
            if used > rules.kv_blocks:
                return False
        tokens -= context(load, state, r)
        alive -= 1
    return True


@njit(cache=True)
def blocks_under_gate(load, rules, state, r):
    """Blocks that r counts for: those of its context, or those of its last forecast step (RESERVE_PEAK)."""
    later = steps_left(load, state, r) - 1 if rules.gate == RESERVE_PEAK else 0
    return blocks(context(load, state, r) + later, rules.block_size)


@njit(cache=True)
def insert_by_finish(load, state, r):
    """Put r in its place in `by_finish`."""
    left = steps_left(load, state, r)
    j = state.counts[N_BY_FINISH]
    while j > 0 and steps_left(load, state, state.by_finish[j - 1]) > left:
        state.by_finish[j] = state.by_finish[j - 1]
        j -= 1
    state.by_finish[j] = r
    state.counts[N_BY_FINISH] += 1


@njit(cache=True)
def sort_by_finish(load, state):
    """Drop who left from `by_finish` and order it by forecast completion again (nearly sorted from step to step)."""
    entries = state.counts[N_BY_FINISH]
    state.counts[N_BY_FINISH] = 0
    for i in range(entries):
        r = state.by_finish[i]
        if state.status[r] == RUNNING:
            insert_by_finish(load, state, r)


@njit(cache=True)
def passes_gate(load, rules, state, r):
    """The policy's own memory rule for r beside the running that go on; everything passes when alone."""
    counts = state.counts
    if rules.gate == OPTIMISTIC or counts[N_RUNNING] == counts[N_LEAVING]:
        return True
    if rules.gate == LOOK_AHEAD:
        return fits_ahead(load, rules, state, r)
    need = blocks_under_gate(load, rules, state, r)
    for i in range(counts[N_RUNNING]):
        if state.status[state.running[i]] == RUNNING:
            need += blocks_under_gate(load, rules, state, state.running[i])
    return need <= (1.0 - rules.alpha) * rules.kv_blocks


@njit(cache=True)
def preempt(load, rules, state, place):
    """Drop the KV of the running request at `place`; it waits again. Returns the tokens it gives back this step."""
    counts = state.counts
    r = state.running[place]
    tokens = state.scheduled[place]
    for j in range(place, counts[N_RUNNING] - 1):
        state.running[j] = state.running[j + 1]
        state.scheduled[j] = state.scheduled[j + 1]
    counts[N_RUNNING] -= 1
    counts[FREE] += state.held[r]
    counts[PREEMPTED] += 1
    state.held[r] = 0
    state.preemptions[r] += 1
    if state.status[r] == LEAVING:  # its last token is on the way: nothing is lost
        state.status[r] = FINISHED
        counts[N_LEAVING] -= 1
        return tokens
    state.computed[r] = 0
    wait(load, rules, state, r)
    return tokens


@njit(cache=True)
def victim_place(load, rules, state):
    """Which of the running is preempted: the last admitted, or the one that would wait last."""
    place = state.counts[N_RUNNING] - 1
    if rules.victim == WORST_KEY:
        for i in range(place):
            if before(load.key, state.running[place], state.running[i]):
                place = i
    return place


@njit(cache=True)
def clear_some(load, rules, state, rng):
    """Preempt each running request with probability beta. Returns the tokens they give back this step."""
    tokens = 0
    for place in range(state.counts[N_RUNNING] - 1, -1, -1):
        if rules.beta >= 1.0 or rng.random() < rules.beta:
            tokens += preempt(load, rules, state, place)
    return tokens


@njit(cache=True)
def schedule_running(load, rules, state, rng):
    """Give the running their tokens and blocks, preempting where blocks run out. Returns (budget left, preempted)."""
    counts = state.counts
    budget = rules.max_num_batched_tokens
    for i in range(counts[N_RUNNING]):
        state.scheduled[i] = 0
    preempted_before = counts[PREEMPTED]
    i = 0
    while i < counts[N_RUNNING] and budget > 0:
        r = state.running[i]
        if state.status[r] == LEAVING:
            i += 1
            continue
        tokens = min(context(load, state, r) - state.computed[r], budget)
        need = blocks(state.computed[r] + tokens, rules.block_size) - state.held[r]
        if need > counts[FREE] and rules.victim == CLEAR:
            while need > counts[FREE] and state.status[r] == RUNNING:
                budget += clear_some(load, rules, state, rng)
            i = 0
            while i < counts[N_RUNNING] and (state.scheduled[i] > 0 or state.status[state.running[i]] == LEAVING):
                i += 1
            continue
        while need > counts[FREE]:
            place = victim_place(load, rules, state)
            budget += preempt(load, rules, state, place)
            if place == i:
                return budget, counts[PREEMPTED] - preempted_before
            if place < i:
                i -= 1
        state.held[r] += need
        counts[FREE] -= need
        state.scheduled[i] = tokens
        budget -= tokens
        i += 1
    return budget, counts[PREEMPTED] - preempted_before


@njit(cache=True)
def admit(load, rules, state, budget, ranking, ranked):
    """Let waiting requests join along the queue while slots, tokens, blocks and the gate last. Returns why it ended."""
    counts = state.counts
    if counts[N_WAITING] == 0:
        return NOBODY
    if rules.gate == LOOK_AHEAD and counts[N_RUNNING] < rules.max_num_seqs:
        sort_by_finish(load, state)
    position = 0
    while counts[N_WAITING] > 0:
        if counts[N_RUNNING] >= rules.max_num_seqs:
            return NO_SLOT
        if budget == 0:
            return RETRY
        if rules.asks:
            if position == ranked:
                return RETRY
            r = ranking[position]
            position += 1
        else:
            r = head_of_queue(load, rules, state)
        if blocks(context(load, state, r), rules.block_size) > counts[FREE]:
            return NO_MEMORY
        if not passes_gate(load, rules, state, r):
            return RETRY if rules.gate == LOOK_AHEAD else NO_MEMORY
        tokens = min(context(load, state, r), budget)
        if rules.gate == LOOK_AHEAD:
            insert_by_finish(load, state, r)
        state.status[r] = RUNNING
        state.held[r] = blocks(tokens, rules.block_size)
        counts[FREE] -= state.held[r]
        state.running[counts[N_RUNNING]] = r
        state.scheduled[counts[N_RUNNING]] = tokens
        counts[N_RUNNING] += 1
        counts[N_WAITING] -= 1
        budget -= tokens
        if np.isnan(state.scheduled_s[r]):
            state.scheduled_s[r] = state.clock[NOW]
    return NOBODY


@njit(cache=True)
def record(rules, state, step_s):
    """Put one more step on the clock; keep every STRIDE-th as a sample, and every other one of those when rows run out.

    With asynchronous scheduling (lag) the next decision is taken when this step starts, else when it ends.
    """
    counts = state.counts
    clock = state.clock
    start = max(clock[NOW], clock[END])
    clock[END] = start + step_s
    clock[NOW] = start if rules.lag else clock[END]
    used = (rules.kv_blocks - counts[FREE]) * rules.block_size
    clock[BUSY_S] += step_s
    clock[KV_TOKEN_S] += used * step_s
    clock[RUNNING_S] += counts[N_RUNNING] * step_s
    if used > counts[PEAK_KV]:
        counts[PEAK_KV] = used
    if counts[STEPS] % counts[STRIDE] == 0:
        if counts[SAMPLES] == len(state.samples):
            for i in range(len(state.samples) // 2):
                state.samples[i] = state.samples[2 * i]
            counts[SAMPLES] //= 2
            counts[STRIDE] *= 2
        if counts[STEPS] % counts[STRIDE] == 0:
            row = state.samples[counts[SAMPLES]]
            row[0] = clock[END]
            row[1] = counts[N_RUNNING]
            row[2] = counts[N_WAITING]
            row[3] = used
            row[4] = step_s
            counts[SAMPLES] += 1
    counts[STEPS] += 1


@njit(cache=True)
def run_step(load, rules, state):
    """Compute what was scheduled: time passes and tokens appear; who made its last one is leaving."""
    counts = state.counts
    decoding = 0
    kv_tokens = 0
    prefill = 0
    for i in range(counts[N_RUNNING]):
        r = state.running[i]
        if state.generated[r] > 0 and state.computed[r] == context(load, state, r) - 1:
            decoding += state.scheduled[i]
            kv_tokens += state.scheduled[i] * (state.computed[r] + 1)
        else:
            prefill += state.scheduled[i]
    if decoding + prefill == 0:
        state.clock[NOW] = max(state.clock[NOW], state.clock[END])
        return
    step_s = (
        rules.fixed_s
        + rules.per_sequence_s * decoding
        + rules.per_kv_token_s * kv_tokens
        + rules.per_prefill_token_s * prefill
    )
    record(rules, state, step_s)
    for i in range(counts[N_RUNNING]):
        r = state.running[i]
        state.computed[r] += state.scheduled[i]
        if state.scheduled[i] > 0 and state.computed[r] == context(load, state, r):
            state.generated[r] += 1
            if state.generated[r] == 1:
                state.first_token_s[r] = state.clock[END]
            if state.generated[r] == load.output[r]:
                state.finish_s[r] = state.clock[END]
                state.status[r] = LEAVING
                counts[N_LEAVING] += 1


@njit(cache=True)
def release(state):
    """Those whose last token is out by now give back slot and blocks. Returns how many."""
    counts = state.counts
    if counts[N_LEAVING] == 0:
        return 0
    kept = 0
    for i in range(counts[N_RUNNING]):
        r = state.running[i]
        if state.status[r] == LEAVING and state.finish_s[r] <= state.clock[NOW]:
            state.status[r] = FINISHED
            counts[FREE] += state.held[r]
            state.held[r] = 0
        else:
            state.running[kept] = r
            kept += 1
    released = counts[N_RUNNING] - kept
    counts[N_RUNNING] = kept
    counts[N_LEAVING] -= released
    return released


@njit(cache=True)
def coast(load, rules, state, ended, decided_s):
    """Take the steps in which nothing changes but one more token for everyone running, all decoding.

    They end before a step in which somebody finishes, an arrival could join, a waiting request's bound passes, or
    blocks run out. The same arithmetic as `run_step`, so the results are the same to the last bit.
    ended: why the admission at `decided_s`, of the step just run, ended.
    """
    counts = state.counts
    n = counts[N_RUNNING]
    if n == 0 or n > rules.max_num_batched_tokens or counts[N_LEAVING] > 0:
        return
    steps = np.int64(1) << 62
    kv_tokens = 0
    for i in range(n):
        r = state.running[i]
        if state.generated[r] == 0 or state.computed[r] != context(load, state, r) - 1:
            return
        steps = min(steps, load.output[r] - state.generated[r] - 1)
        kv_tokens += state.computed[r] + 1
    if steps <= 0:
        return
    until_s = np.inf
    if counts[NEXT] < len(load.arrival_s) and (ended == NOBODY or (ended == NO_MEMORY and not rules.in_arrival_order)):
        until_s = load.arrival_s[counts[NEXT]]
    oldest_s = np.inf  # arrival of the one whose bound on waiting may pass, which would make it the head
    if ended == NO_MEMORY:
        oldest_s = load.arrival_s[oldest_waiting(state)]
        if decided_s - oldest_s > rules.max_wait_s:  # it is the head already
            oldest_s = np.inf
    if until_s > state.clock[NOW]:
        pull_arrivals(load, rules, state)
    bs = rules.block_size
    for i in range(n):
        state.residues[state.computed[state.running[i]] % bs] += 1
    done = 0
    while done < steps and state.clock[NOW] < until_s and not state.clock[NOW] - oldest_s > rules.max_wait_s:
        need = state.residues[(bs - done % bs) % bs]
        if need > counts[FREE]:
            break
        counts[FREE] -= need
        record(rules, state, rules.fixed_s + rules.per_sequence_s * n + rules.per_kv_token_s * kv_tokens)
        kv_tokens += n
        done += 1
        if counts[NEXT] < len(load.arrival_s) and load.arrival_s[counts[NEXT]] <= state.clock[NOW]:
            pull_arrivals(load, rules, state)
    for i in range(n):
        r = state.running[i]
        state.residues[state.computed[r] % bs] = 0
        state.computed[r] += done
        state.generated[r] += done
        state.held[r] = blocks(state.computed[r], bs)


@njit(cache=True)
def advance(load, rules, state, ranking, ranked, rng):
    """Run until all is done (DONE), a Python policy must rank the waiting (ASK), or nothing can ever move (STUCK).

    ranking: ids of waiting requests, best first, the policy's answer for this step; ranked: how many, -1 for none yet.
    """
    counts = state.counts
    n = len(load.arrival_s)
    while True:
        pull_arrivals(load, rules, state)
        if counts[N_RUNNING] == 0 and counts[N_WAITING] == 0:
            if counts[NEXT] == n:
                return DONE
            state.clock[NOW] = max(state.clock[NOW], load.arrival_s[counts[NEXT]])
            continue
        if rules.asks and ranked < 0 and counts[N_WAITING] > 0 and counts[N_RUNNING] < rules.max_num_seqs:
            return ASK
        budget, preempted = schedule_running(load, rules, state, rng)
        ended = RETRY
        if preempted == 0:
            ended = admit(load, rules, state, budget, ranking, max(ranked, 0))
        if rules.asks and ended == NO_MEMORY:
            ended = RETRY
        ranked = -1
        if counts[N_RUNNING] == 0:
            if preempted > 0:
                continue
            if counts[NEXT] == n:
                return STUCK
            state.clock[NOW] = max(state.clock[NOW], load.arrival_s[counts[NEXT]])
            continue
        decided_s = state.clock[NOW]
        run_step(load, rules, state)
        released = release(state)
        if ended != RETRY and (released == 0 or counts[N_WAITING] == 0) and not rules.every_step:
            coast(load, rules, state, ended, decided_s)
