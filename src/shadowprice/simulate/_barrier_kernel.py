# mypy: allow-untyped-defs, allow-untyped-calls
"""The compiled heart of the barrier simulator: decode-only workers that wait for the slowest at every step.

A step costs O(workers) and what starts and ends in it. `_barrier_step_kernel` has the step itself.
"""

from shadowprice.kernels import njit
from shadowprice.routing._choose_kernel import cached_tokens, remember_prefix
from shadowprice.routing._decide_kernel import decide
from shadowprice.routing._tables import Question
from shadowprice.simulate._barrier_state import ASK, DONE, PAUSED, STUCK
from shadowprice.simulate._barrier_step_kernel import run_step


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
def start_queued(model, tables, run):
    """Let the queued join while slots last. Returns how many started; their ids are in `tables.started`."""
    requests, workers, slots, ends = tables.requests, tables.workers, tables.slots, tables.ends
    started, held = tables.started, tables.held
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
                requests[r].cached = cached_tokens(requests, r, g, held)
                workers[g].prefill += requests[r].prompt - requests[r].cached
                remember_prefix(requests, r, g, held)
            at = (run.step + requests[r].output - 1) % len(ends)
            requests[r].following = ends[at]
            ends[at] = r
            started[n] = r
            n += 1
    return n


@njit(cache=True)
def advance(model, tables, rule, memory, answer, asks, answered, until_s):
    """Run until all is served (DONE), a Python policy must answer (ASK), the pool can never move (STUCK), or it is time
    to stop for a while (PAUSED at the first step that begins at or after until_s).

    asks: `answer` comes from outside; answered: it is there, for the pool as it stands.
    """
    requests, pool, workers, slots = tables.requests, tables.pool, tables.workers, tables.slots
    run = tables.run[0]
    learns = rule.learns and not asks
    while run.left > 0:
        if run.now_s >= until_s:
            return PAUSED
        if not answered:
            offer(model, requests, pool, run)
        busy = workers_busy(workers)
        if run.n_pool == 0 and not busy:
            run.now_s = max(run.now_s, requests[run.following].arrival_s)
            continue
        if run.n_pool > 0 and (not model.central or run.free > 0):
            if not asks:
                now, central = run.now_s, model.central
                decide(
                    rule, Question(requests, pool, run.n_pool, workers, slots, run.step, now, central, answer), memory
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
        n_started = start_queued(model, tables, run)
        run_step(model, tables, run, n_started, memory.learned, learns)
    return DONE


@njit(cache=True)
def workers_busy(workers):
    """Does any worker run or queue a request."""
    busy = False
    for g in range(len(workers)):
        busy |= workers[g].running + workers[g].queued > 0
    return busy
