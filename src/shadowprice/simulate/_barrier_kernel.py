# mypy: allow-untyped-defs, allow-untyped-calls
"""The compiled heart of the barrier simulator: decode-only workers that wait for the slowest at every step.

A step costs O(workers) and what starts and ends in it. The table of requests is the routing kernels'; `ends` is a ring
of steps, each with the chain of requests that make their last token in it.
"""

import numpy as np
from numba import njit

from shadowprice.routing._decide_kernel import decide
from shadowprice.routing._learn_kernel import note_end
from shadowprice.routing._pick_kernel import cached_tokens
from shadowprice.simulate._barrier_state import ASK, DONE, STUCK


@njit(cache=True)
def offer(model, requests, pool, run):
    """Put into the pool what has arrived, as long as the pool has room."""
    n = len(requests)
    while run.following < n and run.n_pool < len(pool):
        r = run.following
        if not model.saturated and requests[r].arrival_s > run.now_s:
            break
        requests[r].offered_s = run.now_s if model.saturated else requests[r].arrival_s
        pool[run.n_pool] = r
        run.n_pool += 1
        run.following += 1


@njit(cache=True)
def hand_over(requests, pool, workers, answer, run):
    """Queue the assigned at their workers, count who was passed over, keep the rest. Returns how many were assigned."""
    n = run.n_pool
    assigned = 0
    for i in range(n - 1, -1, -1):
        if answer[i] >= 0:
            assigned += 1
        else:
            r = pool[i]
            requests[r].passes += assigned
            run.most_passes = max(run.most_passes, requests[r].passes)
    kept = 0
    for i in range(n):
        r, g = pool[i], answer[i]
        if g < 0:
            pool[kept] = r
            kept += 1
            continue
        requests[r].worker = g
        requests[r].following = -1
        if workers[g].queued == 0:
            workers[g].head = r
        else:
            requests[workers[g].tail].following = r
        workers[g].tail = r
        workers[g].queued += 1
        workers[g].queued_kv += requests[r].prompt
        workers[g].free -= 1
    run.n_pool = kept
    run.free -= assigned
    return assigned


@njit(cache=True)
def start_queued(model, requests, workers, slots, ends, run, started, blocks, block_tokens, held):
    """Let the queued join while slots last. Returns how many started; their ids are in `started`."""
    n = 0
    for g in range(len(workers)):
        workers[g].prefill = 0.0
        while workers[g].queued > 0 and workers[g].running < slots.shape[1]:
            r = workers[g].head
            workers[g].head = requests[r].following
            workers[g].queued -= 1
            workers[g].queued_kv -= requests[r].prompt
            requests[r].start_step = run.step
            requests[r].place = workers[g].running
            slots[g, workers[g].running] = r
            workers[g].running += 1
            workers[g].kv += requests[r].prompt
            if model.per_prefill_token_s > 0:
                requests[r].cached = cached_tokens(requests, r, g, blocks, block_tokens, held)
                workers[g].prefill += requests[r].prompt - requests[r].cached
                if len(held) > 0:
                    word, bit = g // 64, np.uint64(1) << np.uint64(g % 64)
                    for i in range(requests[r].first_block, requests[r].first_block + requests[r].n_blocks):
                        held[blocks[i], word] |= bit
            at = (run.step + requests[r].output - 1) % len(ends)
            requests[r].following = ends[at]
            ends[at] = r
            started[n] = r
            n += 1
    return n


@njit(cache=True)
def measure(model, workers, most, run, longest_s, steady):
    """Add the step to the totals: of the whole run, and of its steady part. most: slots of a worker."""
    idle_s, energy_w, top, load, running = 0.0, 0.0, 0.0, 0.0, 0
    G = len(workers)
    for g in range(G):
        idle_s += longest_s - workers[g].seconds
        load += workers[g].kv
        running += workers[g].running
        top = max(top, workers[g].kv)
    for g in range(G):
        share = workers[g].running * model.fixed_s / (most * longest_s)
        energy_w += model.idle_power_w + (model.peak_power_w - model.idle_power_w) * share**model.power_exponent
    run.barrier_s += longest_s
    run.idle_s += idle_s
    run.energy_j += energy_w * longest_s
    if not steady:
        return
    run.steady_steps += 1
    run.steady_s += longest_s
    run.steady_idle_s += idle_s
    run.steady_tokens += running
    run.steady_imbalance += G * top - load
    run.steady_indivisible += (-load) % G
    run.steady_energy_j += energy_w * longest_s


@njit(cache=True)
def sample(workers, run, samples):
    """Keep every stride-th step's loads; every other one of those when rows run out."""
    if len(samples) == 0 or run.step & (run.stride - 1) != 0:
        return
    if run.n_samples == len(samples):
        for i in range(len(samples) // 2):
            samples[i] = samples[2 * i]
        run.n_samples //= 2
        run.stride *= 2
        if run.step & (run.stride - 1) != 0:
            return
    samples[run.n_samples, 0] = run.now_s
    for g in range(len(workers)):
        samples[run.n_samples, 1 + g] = workers[g].kv
    run.n_samples += 1


@njit(cache=True)
def run_step(
    model, requests, workers, slots, ends, run, started, n_started, ended, samples, notes, ages, age_class, learns
):
    """All workers make one token per running request; who made the last one leaves."""
    longest_s = 0.0
    for g in range(len(workers)):
        workers[g].seconds = (
            model.fixed_s
            + model.per_sequence_s * workers[g].running
            + model.per_kv_token_s * workers[g].kv
            + model.per_prefill_token_s * workers[g].prefill
        ) / workers[g].speed
        longest_s = max(longest_s, workers[g].seconds)
    n = len(requests)
    if model.saturated:
        steady = run.following > n // 10 and run.following < n
    else:
        steady = run.following < n and run.now_s > requests[n // 10].arrival_s
    if steady and run.steady_steps == 0:
        run.steady_from_s = run.now_s
    measure(model, workers, slots.shape[1], run, longest_s, steady)
    sample(workers, run, samples)
    run.now_s += longest_s
    if steady:
        run.steady_until_s = run.now_s
    for i in range(n_started):
        requests[started[i]].first_token_s = run.now_s
    for g in range(len(workers)):
        workers[g].kv += model.drift_tokens * workers[g].running
    at = run.step % len(ends)
    r = ends[at]
    ends[at] = -1
    ended_before = run.n_ended
    while r >= 0:
        following = requests[r].following
        g = requests[r].worker
        workers[g].running -= 1
        workers[g].free += 1
        run.free += 1
        workers[g].kv -= requests[r].prompt + model.drift_tokens * requests[r].output
        if workers[g].running == 0:
            workers[g].kv = 0.0
        last = slots[g, workers[g].running]
        slots[g, requests[r].place] = last
        requests[last].place = requests[r].place
        requests[r].finish_s = run.now_s
        ended[run.n_ended] = requests[r].output
        run.n_ended += 1
        if learns:
            note_end(notes, ages, age_class, requests[r].output)
        r = following
    run.left -= run.n_ended - ended_before
    run.step += 1


@njit(cache=True)
def advance(
    model,
    requests,
    pool,
    workers,
    slots,
    ends,
    runs,
    started,
    ended,
    samples,
    held,
    rules,
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
    asks,
    answered,
    rng,
):
    """Run until all is served (DONE), a Python policy must answer (ASK), or the pool can never move (STUCK).

    asks: `answer` comes from outside; answered: it is there, for the pool as it stands.
    """
    run = runs[0]
    while run.left > 0:
        if not answered:
            offer(model, requests, pool, run)
        busy = workers_busy(workers)
        if run.n_pool == 0 and not busy:
            run.now_s = max(run.now_s, requests[run.following].arrival_s)
            continue
        if run.n_pool > 0 and (not model.central or run.free > 0):
            if not asks:
                decide(
                    rules,
                    requests,
                    pool,
                    run.n_pool,
                    workers,
                    slots,
                    run.step,
                    run.now_s,
                    model.central,
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
            elif not answered:
                return ASK
            answered = False
            assigned = hand_over(requests, pool, workers, answer, run)
            if model.central and assigned > 0:  # offer the next, and ask again while slots are free
                continue
            if assigned == 0 and not busy and not workers_busy(workers):
                if run.following == len(requests) or run.n_pool == len(pool):
                    return STUCK
                run.now_s = max(run.now_s, requests[run.following].arrival_s)
                continue
        n_started = start_queued(model, requests, workers, slots, ends, run, started, blocks, block_tokens, held)
        run_step(
            model,
            requests,
            workers,
            slots,
            ends,
            run,
            started,
            n_started,
            ended,
            samples,
            notes,
            ages,
            age_class,
            not asks,
        )
    return DONE


@njit(cache=True)
def workers_busy(workers):
    """Does any worker run or queue a request."""
    busy = False
    for g in range(len(workers)):
        busy |= workers[g].running + workers[g].queued > 0
    return busy
