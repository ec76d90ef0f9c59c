# mypy: allow-untyped-defs, allow-untyped-calls
"""What the engine kernel decides for a step, as vLLM's V1 scheduler does: the running first, then who joins them."""

import numpy as np

from shadowprice.kernels import njit
from shadowprice.simulate._engine_memory_kernel import blocks_of, context, insert_by_finish, passes_gate, sort_by_finish
from shadowprice.simulate._engine_queue_kernel import (
    before,
    head_of_queue,
    is_late,
    key_running,
    reach_level,
    take_out,
    wait,
)
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
    SPARE,
    WORST_KEY,
)


@njit(cache=True)
def preempt(requests, rules, run, batch, keys, place):
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
    if rules.moves:
        requests[r].key = keys[reach_level(requests, keys, r)].waiting
    wait(requests, rules, run, r)
    return tokens


@njit(cache=True)
def victim_place(requests, rules, run, batch, keys):
    """Which of the running is preempted: the last admitted, or the one that would wait last."""
    place = run.n_running - 1
    if rules.victim == WORST_KEY:
        key_running(requests, rules, run, batch, keys)
        for i in range(place):
            if before(requests, batch[place].id, batch[i].id):
                place = i
    return place


@njit(cache=True)
def clear_some(requests, rules, run, batch, keys, rng):
    """Preempt each running request with probability beta. Returns the tokens they give back this step."""
    tokens = 0
    for place in range(run.n_running - 1, -1, -1):
        if rules.beta >= 1.0 or rng.random() < rules.beta:
            tokens += preempt(requests, rules, run, batch, keys, place)
    return tokens


@njit(cache=True)
def schedule_running(requests, rules, run, batch, keys, rng):
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
        if not rules.plain or requests[r].computed + tokens > requests[r].held * rules.block_size:  # spares divisions
            need = blocks_of(rules, requests[r].computed + tokens) - requests[r].held
        if need > run.free_blocks and rules.victim == CLEAR:
            while need > run.free_blocks and requests[r].status == RUNNING:
                budget += clear_some(requests, rules, run, batch, keys, rng)
            i = 0
            while i < run.n_running and (batch[i].tokens > 0 or requests[batch[i].id].status == LEAVING):
                i += 1
            continue
        while need > run.free_blocks:
            place = victim_place(requests, rules, run, batch, keys)
            budget += preempt(requests, rules, run, batch, keys, place)
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
def refusal(requests, rules, run, batch, r):
    """Why r may not join the batch now (NO_SLOT, NO_MEMORY, or RETRY: ask again next step); NOBODY if it may."""
    if run.n_running >= rules.max_num_seqs:
        return NO_SLOT
    if blocks_of(rules, context(requests, r)) > run.free_blocks:
        return NO_MEMORY
    if not passes_gate(requests, rules, run, batch, r):
        return RETRY if rules.gate == LOOK_AHEAD else NO_MEMORY
    return NOBODY


@njit(cache=True)
def may_give_way(requests, rules, run, r, head):
    """Would r, of those that run, give way to the head of the queue."""
    return requests[r].status == RUNNING and before(requests, head, r) and not is_late(requests, rules, run, r)


@njit(cache=True)
def would_fit(requests, rules, run, batch, head, joined):
    """Could the head of the queue join if all who may give way to it were gone, and is there any.

    joined: how many joined in this step, who are the last in the batch and stay.
    """
    spare = 0
    freed = 0
    for i in range(run.n_running - joined):
        r = batch[i].id
        if may_give_way(requests, rules, run, r, head):
            requests[r].status = SPARE
            spare += 1
            freed += requests[r].held
    if spare == 0:
        return False
    if rules.gate == LOOK_AHEAD:
        sort_by_finish(requests, run, batch)  # without the spare ones
    fits = (
        run.n_running - spare < rules.max_num_seqs
        and blocks_of(rules, context(requests, head)) <= run.free_blocks + freed
        and passes_gate(requests, rules, run, batch, head)
    )
    for i in range(run.n_running):
        r = batch[i].id
        if requests[r].status == SPARE:
            requests[r].status = RUNNING
            if rules.gate == LOOK_AHEAD:
                insert_by_finish(requests, run, batch, r)
    return fits


@njit(cache=True)
def make_room(requests, rules, run, batch, keys, head, joined):
    """Preempt who may give way to the head of the queue, the worst key first, until it may join.

    Returns the tokens they give back this step; -1, and nobody is preempted, where even all of them would not do.
    """
    key_running(requests, rules, run, batch, keys)
    if not would_fit(requests, rules, run, batch, head, joined):
        return -1
    tokens = 0
    while refusal(requests, rules, run, batch, head) != NOBODY:
        worst = -1
        for i in range(run.n_running - joined):
            if may_give_way(requests, rules, run, batch[i].id, head) and (
                worst < 0 or before(requests, batch[worst].id, batch[i].id)
            ):
                worst = i
        gone = batch[worst].id
        tokens += preempt(requests, rules, run, batch, keys, worst)
        if rules.gate == LOOK_AHEAD:
            sort_by_finish(requests, run, batch)
        if run.gave_way < 0 or before(requests, gone, run.gave_way):
            run.gave_way = gone
    return tokens


@njit(cache=True)
def join(requests, rules, run, batch, r, budget):
    """Let r, which waits, join the batch with at most `budget` tokens in this step. Returns how many it takes."""
    tokens = min(context(requests, r) - requests[r].computed, budget)
    if rules.gate == LOOK_AHEAD:
        insert_by_finish(requests, run, batch, r)
    if not rules.asks:
        take_out(requests, run, r)
    requests[r].status = RUNNING
    requests[r].held = blocks_of(rules, requests[r].computed + tokens)  # computed: elsewhere, and sent here
    run.free_blocks -= requests[r].held
    batch[run.n_running].id = r
    batch[run.n_running].tokens = tokens
    run.n_running += 1
    run.n_waiting -= 1
    run.waiting_tokens -= context(requests, r)
    if np.isnan(requests[r].scheduled_s):
        requests[r].scheduled_s = run.now_s
    return tokens


@njit(cache=True)
def admit(requests, rules, run, batch, keys, budget, ranking, ranked):
    """Let waiting requests join along the queue while slots, tokens, blocks and the gate last. Returns why it ended.

    Who gave way in this step, and those behind it, wait for the next.
    """
    if run.n_waiting == 0:
        return NOBODY
    if rules.gate == LOOK_AHEAD and run.n_running < rules.max_num_seqs:
        sort_by_finish(requests, run, batch)
    run.gave_way = -1
    position = joined = 0
    while run.n_waiting > 0:
        if run.n_running >= rules.max_num_seqs and not rules.gives_way:
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
        if run.gave_way >= 0 and (
            r == run.gave_way or (before(requests, run.gave_way, r) and not is_late(requests, rules, run, r))
        ):
            return RETRY
        refused = refusal(requests, rules, run, batch, r)
        if refused != NOBODY:
            given_back = make_room(requests, rules, run, batch, keys, r, joined) if rules.gives_way else -1
            if given_back < 0:
                return refused
            budget += given_back
        budget -= join(requests, rules, run, batch, r, budget)
        joined += 1
    return NOBODY
