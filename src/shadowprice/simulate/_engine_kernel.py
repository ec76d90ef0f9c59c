# mypy: allow-untyped-defs, allow-untyped-calls
"""The compiled heart of the engine simulator: one worker with the semantics of vLLM's V1 scheduler.

`advance` runs until all requests are done, or, with a policy written in Python, until it must be asked. A full
step costs O(running); between events (nothing finishes, arrives or joins) steps cost a few nanoseconds each.
The tables are described in `_engine_state.py`. One long file on purpose: numba's cache notices a change only in the
file of the function that it cached.
"""

import numpy as np
from numba import njit

from shadowprice.simulate._engine_state import (
    ASK,
    CLEAR,
    DONE,
    FINISHED,
    LATER,
    LEAVING,
    LOOK_AHEAD,
    NO_MEMORY,
    NO_SLOT,
    NOBODY,
    OPTIMISTIC,
    RESERVE_PEAK,
    RETRY,
    RUNNING,
    STUCK,
    WAITING,
    WORST_KEY,
)


@njit(cache=True)
def before(requests, a, b):
    """Does request a wait ahead of b: smaller key, then earlier arrival."""
    return requests[a].key < requests[b].key or (requests[a].key == requests[b].key and a < b)


@njit(cache=True)
def meld(requests, a, b):
    """Join two pairing heaps with tops a and b (-1: empty); returns the top."""
    if a < 0 or b < 0:
        return max(a, b)
    if before(requests, b, a):
        a, b = b, a
    requests[b].heap_sibling = requests[a].heap_child
    requests[a].heap_child = b
    return a


@njit(cache=True)
def push(requests, run, r):
    """Insert r into the worker's heap of the waiting, the smallest key on top."""
    requests[r].heap_child = -1
    requests[r].heap_sibling = -1
    requests[r].in_heap = True
    run.heap_top = meld(requests, run.heap_top, r)


@njit(cache=True)
def pop(requests, run):
    """Remove the top of the heap: meld its children in pairs, then the pairs from last to first."""
    top = run.heap_top
    requests[top].in_heap = False
    child = requests[top].heap_child
    pairs = -1  # those melded so far, last first, chained by heap_sibling
    while child >= 0:
        other = requests[child].heap_sibling
        following = requests[other].heap_sibling if other >= 0 else -1
        pair = meld(requests, child, other)
        requests[pair].heap_sibling = pairs
        pairs = pair
        child = following
    top = -1
    while pairs >= 0:
        following = requests[pairs].heap_sibling
        requests[pairs].heap_sibling = -1
        top = meld(requests, top, pairs)
        pairs = following
    run.heap_top = top


@njit(cache=True)
def context(requests, r):
    """KV tokens r holds once its present context is computed."""
    return requests[r].prompt + requests[r].generated


@njit(cache=True)
def wait(requests, rules, run, r):
    """Put r among the waiting."""
    requests[r].status = WAITING
    run.n_waiting += 1
    run.waiting_tokens += context(requests, r)
    if run.oldest < 0 or requests[r].place < requests[run.oldest].place:
        run.oldest = r
    if not rules.asks and not requests[r].in_heap:
        push(requests, run, r)


@njit(cache=True)
def pull_arrivals(requests, rules, run):
    """Everything that has arrived by now waits."""
    while run.following >= 0 and requests[run.following].arrival_s <= run.now_s:
        r = run.following
        run.following = requests[r].following
        wait(requests, rules, run, r)


@njit(cache=True)
def oldest_waiting(requests, run):
    """The waiting request that came to this worker first; -1 if nobody waits."""
    if run.n_waiting == 0:
        return -1
    while requests[run.oldest].status != WAITING:
        run.oldest = requests[run.oldest].following
    return run.oldest


@njit(cache=True)
def head_of_queue(requests, rules, run):
    """Who is to be admitted next: the oldest if it has waited past the bound, else the smallest key; -1 if nobody."""
    oldest = oldest_waiting(requests, run)
    if oldest < 0:
        return -1
    if run.now_s - requests[oldest].arrival_s > rules.max_wait_s:
        return oldest
    while requests[run.heap_top].status != WAITING:
        pop(requests, run)
    return run.heap_top


@njit(cache=True)
def blocks(tokens, block_size):
    """Blocks that hold so many tokens."""
    return (tokens + block_size - 1) // block_size


@njit(cache=True)
def steps_left(requests, r):
    """Tokens that r is still forecast to make, at least one."""
    return max(requests[r].predicted - requests[r].generated, 1)


@njit(cache=True)
def steps_held(requests, rules, r):
    """Steps for which r will hold blocks: to its last token, and one more when steps are decided a step ahead."""
    return steps_left(requests, r) + (1 if rules.lag else 0)


@njit(cache=True)
def fits_ahead(requests, rules, run, batch, candidate):
    """Does every forecast completion of the running and the candidate find the blocks of those still alive free?

    Usage only grows between completions, so these are the only moments to test. `by_finish` lists the
    running by forecast completion; a request that stays d more steps holds context + d - 1 tokens in the d-th of them.
    """
    size = run.n_by_finish
    bs = rules.block_size
    candidate_left = steps_held(requests, rules, candidate)
    alive = size + 1
    tokens = context(requests, candidate)
    for i in range(size):
        tokens += context(requests, batch[i].by_finish)
    # one pass over completions in order, the candidate merged in at its place
    i = 0
    merged = False
    while i < size or not merged:
        if not merged and (i == size or candidate_left <= steps_held(requests, rules, batch[i].by_finish)):
            r, d = candidate, candidate_left
            merged = True
        else:
            r = batch[i].by_finish
            d = steps_held(requests, rules, r)
            i += 1
        if tokens + alive * (d - 1) > rules.kv_blocks * bs:
            return False
        if tokens + alive * (d - 1 + bs - 1) > rules.kv_blocks * bs:  # rounding to blocks decides: count them
            used = 0
            if candidate_left >= d:
                used += blocks(context(requests, candidate) + d - 1, bs)
            for j in range(size):
                if steps_held(requests, rules, batch[j].by_finish) >= d:
                    used += blocks(context(requests, batch[j].by_finish) + d - 1, bs)
            if used > rules.kv_blocks:
                return False
        tokens -= context(requests, r)
        alive -= 1
    return True


@njit(cache=True)
def blocks_under_gate(requests, rules, r):
    """Blocks that r counts for: those of its context, or those of its last forecast step (RESERVE_PEAK)."""
    later = steps_left(requests, r) - 1 if rules.gate == RESERVE_PEAK else 0
    return blocks(context(requests, r) + later, rules.block_size)


@njit(cache=True)
def insert_by_finish(requests, run, batch, r):
    """Put r in its place in `by_finish`."""
    left = steps_left(requests, r)
    j = run.n_by_finish
    while j > 0 and steps_left(requests, batch[j - 1].by_finish) > left:
        batch[j].by_finish = batch[j - 1].by_finish
        j -= 1
    batch[j].by_finish = r
    run.n_by_finish += 1


@njit(cache=True)
def sort_by_finish(requests, run, batch):
    """Drop who left from `by_finish` and order it by forecast completion again (nearly sorted from step to step)."""
    entries = run.n_by_finish
    run.n_by_finish = 0
    for i in range(entries):
        r = batch[i].by_finish
        if requests[r].status == RUNNING:
            insert_by_finish(requests, run, batch, r)


@njit(cache=True)
def passes_gate(requests, rules, run, batch, r):
    """The policy's own memory rule for r beside the running that go on; everything passes when alone."""
    if rules.gate == OPTIMISTIC or run.n_running == run.n_leaving:
        return True
    if rules.gate == LOOK_AHEAD:
        return fits_ahead(requests, rules, run, batch, r)
    need = blocks_under_gate(requests, rules, r)
    for i in range(run.n_running):
        if requests[batch[i].id].status == RUNNING:
            need += blocks_under_gate(requests, rules, batch[i].id)
    return need <= (1.0 - rules.alpha) * rules.kv_blocks


@njit(cache=True)
def preempt(requests, rules, run, batch, place):
    """Drop the KV of the running request at `place`; it waits again. Returns the tokens it gives back this step."""
    r = batch[place].id
    tokens = batch[place].tokens
    for j in range(place, run.n_running - 1):
        batch[j].id = batch[j + 1].id
        batch[j].tokens = batch[j + 1].tokens
    run.n_running -= 1
    run.free_blocks += requests[r].held
    run.preempted += 1
    requests[r].held = 0
    requests[r].preemptions += 1
    if requests[r].status == LEAVING:  # its last token is on the way: nothing is lost
        requests[r].status = FINISHED
        run.n_leaving -= 1
        return tokens
    requests[r].computed = 0
    wait(requests, rules, run, r)
    return tokens


@njit(cache=True)
def victim_place(requests, rules, run, batch):
    """Which of the running is preempted: the last admitted, or the one that would wait last."""
    place = run.n_running - 1
    if rules.victim == WORST_KEY:
        for i in range(place):
            if before(requests, batch[place].id, batch[i].id):
                place = i
    return place


@njit(cache=True)
def clear_some(requests, rules, run, batch, rng):
    """Preempt each running request with probability beta. Returns the tokens they give back this step."""
    tokens = 0
    for place in range(run.n_running - 1, -1, -1):
        if rules.beta >= 1.0 or rng.random() < rules.beta:
            tokens += preempt(requests, rules, run, batch, place)
    return tokens


@njit(cache=True)
def schedule_running(requests, rules, run, batch, rng):
    """Give the running their tokens and blocks, preempting where blocks run out. Returns (budget left, preempted)."""
    budget = rules.max_num_batched_tokens
    for i in range(run.n_running):
        batch[i].tokens = 0
    preempted_before = run.preempted
    i = 0
    while i < run.n_running and budget > 0:
        r = batch[i].id
        if requests[r].status == LEAVING:
            i += 1
            continue
        tokens = min(requests[r].prompt + requests[r].generated - requests[r].computed, budget)
        need = 0
        if requests[r].computed + tokens > requests[r].held * rules.block_size:  # spares most divisions
            need = blocks(requests[r].computed + tokens, rules.block_size) - requests[r].held
        if need > run.free_blocks and rules.victim == CLEAR:
            while need > run.free_blocks and requests[r].status == RUNNING:
                budget += clear_some(requests, rules, run, batch, rng)
            i = 0
            while i < run.n_running and (batch[i].tokens > 0 or requests[batch[i].id].status == LEAVING):
                i += 1
            continue
        while need > run.free_blocks:
            place = victim_place(requests, rules, run, batch)
            budget += preempt(requests, rules, run, batch, place)
            if place == i:
                return budget, run.preempted - preempted_before
            if place < i:
                i -= 1
        requests[r].held += need
        run.free_blocks -= need
        batch[i].tokens = tokens
        budget -= tokens
        i += 1
    return budget, run.preempted - preempted_before


@njit(cache=True)
def admit(requests, rules, run, batch, budget, ranking, ranked):
    """Let waiting requests join along the queue while slots, tokens, blocks and the gate last. Returns why it ended."""
    if run.n_waiting == 0:
        return NOBODY
    if rules.gate == LOOK_AHEAD and run.n_running < rules.max_num_seqs:
        sort_by_finish(requests, run, batch)
    position = 0
    while run.n_waiting > 0:
        if run.n_running >= rules.max_num_seqs:
            return NO_SLOT
        if budget == 0:
            return RETRY
        if rules.asks:
            if position == ranked:
                return RETRY
            r = ranking[position]
            position += 1
        else:
            r = head_of_queue(requests, rules, run)
        if blocks(context(requests, r), rules.block_size) > run.free_blocks:
            return NO_MEMORY
        if not passes_gate(requests, rules, run, batch, r):
            return RETRY if rules.gate == LOOK_AHEAD else NO_MEMORY
        tokens = min(context(requests, r) - requests[r].computed, budget)
        if rules.gate == LOOK_AHEAD:
            insert_by_finish(requests, run, batch, r)
        requests[r].status = RUNNING
        requests[r].held = blocks(requests[r].computed + tokens, rules.block_size)  # computed: elsewhere, and sent here
        run.free_blocks -= requests[r].held
        batch[run.n_running].id = r
        batch[run.n_running].tokens = tokens
        run.n_running += 1
        run.n_waiting -= 1
        run.waiting_tokens -= context(requests, r)
        budget -= tokens
        if np.isnan(requests[r].scheduled_s):
            requests[r].scheduled_s = run.now_s
    return NOBODY


@njit(cache=True)
def record(rules, run, samples, step_s):
    """Put one more step on the clock; keep every stride-th as a sample, and every other one of those when rows run out.

    With asynchronous scheduling (lag) the next decision is taken when this step starts, else when it ends.
    """
    start = max(run.now_s, run.end_s)
    run.end_s = start + step_s
    run.now_s = start if rules.lag else run.end_s
    used = (rules.kv_blocks - run.free_blocks) * rules.block_size
    run.busy_s += step_s
    run.kv_token_s += used * step_s
    run.running_s += run.n_running * step_s
    if used > run.peak_kv_tokens:
        run.peak_kv_tokens = used
    if run.steps & (run.stride - 1) == 0:  # stride is a power of two
        if run.n_samples == len(samples):
            for i in range(len(samples) // 2):
                samples[i] = samples[2 * i]
            run.n_samples //= 2
            run.stride *= 2
        if run.steps & (run.stride - 1) == 0:
            row = samples[run.n_samples]
            row[0] = run.end_s
            row[1] = run.n_running
            row[2] = run.n_waiting
            row[3] = used
            row[4] = step_s
            run.n_samples += 1
    run.steps += 1


@njit(cache=True)
def step_seconds(requests, rules, run, batch):
    """How long computing what was scheduled takes; 0 if nothing was."""
    decoding = 0
    kv_tokens = 0
    prefill = 0
    for i in range(run.n_running):
        r = batch[i].id
        if requests[r].generated > 0 and requests[r].computed == requests[r].prompt + requests[r].generated - 1:
            decoding += batch[i].tokens
            kv_tokens += batch[i].tokens * (requests[r].computed + 1)
        else:
            prefill += batch[i].tokens
    if decoding + prefill == 0:
        return 0.0
    return (
        rules.fixed_s
        + rules.per_sequence_s * decoding
        + rules.per_kv_token_s * kv_tokens
        + rules.per_prefill_token_s * prefill
    )


@njit(cache=True)
def run_step(requests, rules, run, batch, samples, step_s):
    """Compute what was scheduled: time passes and tokens appear; who made its last one is leaving."""
    record(rules, run, samples, step_s)
    for i in range(run.n_running):
        r = batch[i].id
        requests[r].computed += batch[i].tokens
        if batch[i].tokens > 0 and requests[r].computed == requests[r].prompt + requests[r].generated:
            requests[r].generated += 1
            if requests[r].generated == 1:
                requests[r].first_token_s = run.end_s
            if requests[r].generated == requests[r].output:
                requests[r].finish_s = run.end_s
                requests[r].status = LEAVING
                run.n_leaving += 1


@njit(cache=True)
def release(requests, run, batch):
    """Those whose last token is out by now give back slot and blocks. Returns how many."""
    if run.n_leaving == 0:
        return 0
    kept = 0
    for i in range(run.n_running):
        r = batch[i].id
        if requests[r].status == LEAVING and requests[r].finish_s <= run.now_s:
            requests[r].status = FINISHED
            run.free_blocks += requests[r].held
            requests[r].held = 0
        else:
            batch[kept].id = r
            kept += 1
    released = run.n_running - kept
    run.n_running = kept
    run.n_leaving -= released
    return released


@njit(cache=True)
def coast(requests, rules, run, batch, samples, residues, ended, decided_s, until_s):
    """Take the steps in which nothing changes but one more token for everyone running, all decoding.

    They end before a step in which somebody finishes, an arrival could join, a waiting request's bound passes, or
    blocks run out. The same arithmetic as `run_step`, so the results are the same to the last bit.
    ended: why the admission at `decided_s`, of the step just run, ended.
    """
    n = run.n_running
    if n == 0 or n > rules.max_num_batched_tokens or run.n_leaving > 0:
        return
    steps = np.int64(1) << 62
    kv_tokens = 0
    for i in range(n):
        r = batch[i].id
        if requests[r].generated == 0 or requests[r].computed != requests[r].prompt + requests[r].generated - 1:
            return
        steps = min(steps, requests[r].output - requests[r].generated - 1)
        kv_tokens += requests[r].computed + 1
    if steps <= 0:
        return
    stop_s = until_s
    if run.following >= 0 and (ended == NOBODY or (ended == NO_MEMORY and not rules.in_arrival_order)):
        stop_s = min(stop_s, requests[run.following].arrival_s)
    oldest_s = np.inf  # arrival of the one whose bound on waiting may pass, which would make it the head
    if ended == NO_MEMORY:
        oldest_s = requests[oldest_waiting(requests, run)].arrival_s
        if decided_s - oldest_s > rules.max_wait_s:  # it is the head already
            oldest_s = np.inf
    if stop_s > run.now_s:
        pull_arrivals(requests, rules, run)
    bs = rules.block_size
    for i in range(n):  # room left in the last block: that many steps later a new one is needed
        r = batch[i].id
        residues[requests[r].held * bs - requests[r].computed] += 1
    done = 0
    phase = 0
    while done < steps and run.now_s < stop_s and not run.now_s - oldest_s > rules.max_wait_s:
        need = residues[phase]
        if need > run.free_blocks:
            break
        phase = phase + 1 if phase + 1 < bs else 0
        run.free_blocks -= need
        record(rules, run, samples, rules.fixed_s + rules.per_sequence_s * n + rules.per_kv_token_s * kv_tokens)
        kv_tokens += n
        done += 1
        if run.following >= 0 and requests[run.following].arrival_s <= run.now_s:
            pull_arrivals(requests, rules, run)
    for i in range(n):
        r = batch[i].id
        residues[requests[r].held * bs - requests[r].computed] = 0
        requests[r].computed += done
        requests[r].generated += done
        if requests[r].computed > requests[r].held * bs:
            requests[r].held = blocks(requests[r].computed, bs)


@njit(cache=True)
def advance(requests, rules, runs, batch, samples, residues, ranking, ranked, rng, until_s):
    """Run until all is done (DONE), a Python policy must rank the waiting (ASK), or nothing can ever move (STUCK).

    Also until the next decision would fall on or after `until_s` (LATER): then more arrivals may be chained.

    ranking: ids of waiting requests, best first, the policy's answer for this step; ranked: how many, -1 for none yet.
    """
    run = runs[0]
    while True:
        pull_arrivals(requests, rules, run)
        if run.n_running == 0 and run.n_waiting == 0:
            if run.following < 0:
                return DONE
            run.now_s = max(run.now_s, requests[run.following].arrival_s)
            continue
        if run.now_s >= until_s:
            return LATER
        if rules.asks and ranked < 0 and run.n_waiting > 0 and run.n_running < rules.max_num_seqs:
            return ASK
        budget, preempted = schedule_running(requests, rules, run, batch, rng)
        ended = RETRY
        if preempted == 0:
            ended = admit(requests, rules, run, batch, budget, ranking, max(ranked, 0))
        if rules.asks and ended == NO_MEMORY:
            ended = RETRY
        ranked = -1
        if run.n_running == 0:
            if preempted > 0:
                continue
            if run.following < 0:
                return STUCK
            run.now_s = max(run.now_s, requests[run.following].arrival_s)
            continue
        decided_s = run.now_s
        step_s = step_seconds(requests, rules, run, batch)
        if step_s > 0:
            run_step(requests, rules, run, batch, samples, step_s)
        else:  # all the running are leaving
            run.now_s = max(run.now_s, run.end_s)
        released = release(requests, run, batch)
        if ended != RETRY and (released == 0 or run.n_waiting == 0) and not rules.every_step:
            coast(requests, rules, run, batch, samples, residues, ended, decided_s, until_s)
