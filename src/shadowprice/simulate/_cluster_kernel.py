# mypy: allow-untyped-defs, allow-untyped-calls
"""The compiled heart of the cluster simulator: many engines over one table of requests, apart or in lockstep."""

import numpy as np

from shadowprice.kernels import njit
from shadowprice.routing._decide_kernel import decide
from shadowprice.routing._learn_kernel import note_end
from shadowprice.routing._tables import Question
from shadowprice.simulate._engine_kernel import advance
from shadowprice.simulate._engine_queue_kernel import pull_arrivals
from shadowprice.simulate._engine_schedule_kernel import admit, schedule_running
from shadowprice.simulate._engine_state import FINISHED
from shadowprice.simulate._engine_step_kernel import release, run_step, step_seconds

NO_RANKING = np.zeros(0, np.int64)


@njit(cache=True)
def hand_over(requests, runs, last, r, g):
    """Chain request r to the arrivals of worker g."""
    requests[r].following = -1
    requests[r].place = 0 if last[g] < 0 else requests[last[g]].place + 1
    requests[r].worker = g
    if last[g] >= 0:
        requests[last[g]].following = r
    if runs[g].following < 0:
        runs[g].following = r
    last[g] = r


@njit(cache=True)
def observe(requests, rules, runs, workers):
    """Fill the table of what a router may know of each worker."""
    for g in range(len(runs)):
        run = runs[g]
        waiting = run.n_waiting
        waiting_tokens = run.waiting_tokens
        r = run.following
        while r >= 0:  # handed over, but not yet seen by the engine
            waiting += 1
            waiting_tokens += requests[r].prompt
            r = requests[r].following
        workers[g].running = run.n_running
        workers[g].waiting = waiting
        workers[g].held_tokens = (rules.kv_blocks - run.free_blocks) * rules.block_size
        workers[g].waiting_tokens = waiting_tokens


@njit(cache=True)
def advance_apart(engines, rng, until_s):
    """Run every worker on its own up to the decision on or after `until_s`."""
    for g in range(len(engines.runs)):
        advance(engines, g, NO_RANKING, -1, rng, until_s)


@njit(cache=True)
def advance_together(engines, rng, until_s):
    """Run all workers in lockstep up to the step decided on or after `until_s`, or until nobody has anything to do.

    A step lasts as long as the slowest worker's; one with nothing to do takes part in it idle.
    """
    requests, rules, keys = engines.requests, engines.rules, engines.keys
    runs, batches, samples = engines.runs, engines.batches, engines.samples
    seconds = np.zeros(len(runs))
    while runs[0].now_s < until_s:
        busy = False
        longest_s = 0.0
        dropped = 0
        for g in range(len(runs)):
            run = runs[g]
            pull_arrivals(requests, rules, run)
            busy |= run.n_running + run.n_waiting > 0
            budget, preempted = schedule_running(requests, rules, run, batches[g], keys, rng)
            if preempted == 0:
                admit(requests, rules, run, batches[g], keys, budget, NO_RANKING, 0)
            dropped += preempted
            seconds[g] = step_seconds(requests, rules, run, batches[g])
            longest_s = max(longest_s, seconds[g])
        if not busy:
            return
        if longest_s == 0.0 and dropped == 0:  # all the running are leaving
            for g in range(len(runs)):
                runs[g].now_s = max(runs[g].now_s, runs[g].end_s)
        for g in range(len(runs)):
            if longest_s > 0.0:
                run_step(requests, rules, runs[g], batches[g], samples[g], longest_s)
                engines.own_s[g] += seconds[g]
            release(requests, runs[g], batches[g])


@njit(cache=True)
def show(engines, routed, question, learned, learns):
    """Fill the routing tables with the loads, and, for policies that learn, with who runs where and who ended."""
    requests, limits, runs, batches = engines.requests, engines.rules, engines.runs, engines.batches
    workers, slots = question.workers, question.slots
    for g in range(len(runs)):
        run = runs[g]
        if learns:
            for i in range(workers[g].running):
                r = slots[g, i]
                if requests[r].status == FINISHED:
                    note_end(learned, requests[r].output)
            for i in range(run.n_running):
                r = batches[g][i].id
                slots[g, i] = r
                routed[r].start_step = -requests[r].generated
        workers[g].running = run.n_running
        workers[g].queued = run.n_waiting
        workers[g].queued_kv = run.waiting_tokens
        r = run.following
        while r >= 0:  # handed over, but not yet seen by the engine
            workers[g].queued += 1
            workers[g].queued_kv += requests[r].prompt
            r = requests[r].following
        workers[g].kv = (limits.kv_blocks - run.free_blocks) * limits.block_size
        workers[g].free = max(limits.max_num_seqs - workers[g].running - workers[g].queued, 0)


@njit(cache=True)
def wake(runs, now_s):
    """Ranks in lockstep that were all idle share the moment at which something arrives."""
    for g in range(len(runs)):
        if runs[g].n_running + runs[g].n_waiting > 0:
            return
    for g in range(len(runs)):
        runs[g].now_s = max(runs[g].now_s, now_s)


@njit(cache=True)
def advance_all(engines, lockstep, rng, until_s):
    """Run the engines up to their decision on or after `until_s`."""
    if lockstep:
        advance_together(engines, rng, until_s)
    else:
        advance_apart(engines, rng, until_s)


@njit(cache=True)
def route_on_arrival(engines, lockstep, rule, memory, routed, workers, slots, rng):
    """Route every request when it arrives, those of one moment together, under a compiled policy; to the end."""
    requests, runs = engines.requests, engines.runs
    pool, answer = np.empty(len(requests), np.int64), np.empty(len(requests), np.int64)
    first = 0
    while first < len(requests):
        now_s = requests[first].arrival_s
        n = 0
        while first + n < len(requests) and requests[first + n].arrival_s == now_s:
            pool[n] = first + n
            n += 1
        advance_all(engines, lockstep, rng, now_s)
        if lockstep:
            wake(runs, now_s)
        question = Question(routed, pool, n, workers, slots, 0, now_s, False, answer)
        show(engines, routed, question, memory.learned, rule.learns)
        decide(rule, question, memory)
        for i in range(n):
            hand_over(requests, runs, engines.last, pool[i], answer[i])
        first += n
    advance_all(engines, lockstep, rng, np.inf)
