# mypy: allow-untyped-defs, allow-untyped-calls
"""What the engine kernel decides for a step, as vLLM's V1 scheduler does: the running first, then who joins them."""

import numpy as np

from shadowprice.kernels import njit
from shadowprice.simulate._engine_memory_kernel import blocks, context, insert_by_finish, passes_gate, sort_by_finish
from shadowprice.simulate._engine_queue_kernel import before, head_of_queue, wait
from shadowprice.simulate._engine_state import (
    CLEAR,
    FINISHED,
    LEAVING,
    LOOK_AHEAD,
    NO_MEMORY,
    NO_SLOT,
    NOBODY,
    RETRY,
    RUNNING,
    WORST_KEY,
)


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
