# mypy: allow-untyped-defs, allow-untyped-calls
"""A policy asked once through plain arrays, compiled: fills the tables of `decide`, learns, decides."""

import numpy as np

from shadowprice.kernels import njit
from shadowprice.routing._decide_kernel import decide
from shadowprice.routing._learn_kernel import note_end

NEVER = np.iinfo(np.int64).max


@njit(cache=True)
def fill_pending(requests, arrival_s, prompt, passes, predicted, keys, first_block, n_blocks):
    """The pending are the first rows of the table; an empty array stands for a column that is not there."""
    for i in range(len(arrival_s)):
        requests[i].arrival_s = arrival_s[i]
        requests[i].prompt = prompt[i]
        requests[i].passes = passes[i] if len(passes) else 0
        requests[i].predicted = predicted[i] if len(predicted) else NEVER
        requests[i].key = keys[i] if len(keys) else 0
        requests[i].first_block = first_block[i] if len(first_block) else 0
        requests[i].n_blocks = n_blocks[i] if len(n_blocks) else 0


@njit(cache=True)
def fill_active(requests, slots, n, worker, prompt, generated, predicted, count):
    """The running follow from row n on; slots[g] lists those of worker g, count[g] how many."""
    count[:] = 0
    for i in range(len(worker)):
        r, g = n + i, worker[i]
        requests[r].prompt = prompt[i]
        requests[r].start_step = -generated[i]
        requests[r].predicted = predicted[i] if len(predicted) else NEVER
        slots[g, count[g]] = r
        count[g] += 1


@njit(cache=True)
def fill_workers(workers, kv, running, waiting, waiting_tokens, slots, speed, opened):
    """One row per worker."""
    for g in range(len(kv)):
        workers[g].kv = kv[g]
        workers[g].queued_kv = waiting_tokens[g]
        workers[g].running = running[g]
        workers[g].queued = waiting[g]
        workers[g].free = max(slots[g] - running[g] - waiting[g], 0)
        workers[g].speed = speed[g] if len(speed) else 1.0
        workers[g].shut = 1 - opened[g] if len(opened) else 0


@njit(cache=True)
def ask(
    rules,
    now_s,
    may_wait,
    arrival_s,
    prompt,
    passes,
    predicted,
    keys,
    first_block,
    n_blocks,
    kv,
    running,
    waiting,
    waiting_tokens,
    most,
    speed,
    opened,
    active_worker,
    active_prompt,
    active_generated,
    active_predicted,
    finished_tokens,
    requests,
    workers,
    slots,
    count,
    pool,
    notes,
    seen,
    recent,
    law,
    ages,
    age_class,
    survival,
    blocks,
    block_tokens,
    tree,
    ring,
    owners,
    window,
    sums,
    answer,
    rng,
):
    """Fill answer with the worker of each pending request; the arrays from notes to sums are the policy's `Memory`."""
    for tokens in finished_tokens:
        note_end(notes, ages, age_class, tokens)
    n = len(arrival_s)
    if n == 0:
        return
    fill_pending(requests, arrival_s, prompt, passes, predicted, keys, first_block, n_blocks)
    fill_workers(workers, kv, running, waiting, waiting_tokens, most, speed, opened)
    fill_active(requests, slots, n, active_worker, active_prompt, active_generated, active_predicted, count)
    for g in range(len(workers)):  # the forecast walks over the listed
        workers[g].running = count[g] if len(active_worker) else running[g]
    decide(
        rules,
        requests,
        pool,
        n,
        workers,
        slots,
        0,
        now_s,
        may_wait,
        notes,
        seen,
        recent,
        law,
        ages,
        age_class,
        survival,
        blocks,
        block_tokens,
        tree,
        ring,
        owners,
        window,
        sums,
        answer,
        rng,
    )
