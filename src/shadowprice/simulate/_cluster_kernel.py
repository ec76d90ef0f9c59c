"""The compiled heart of the cluster simulator: many engines over one table of requests, apart or in lockstep."""

import numpy as np
from numba import njit

from shadowprice.simulate._engine_kernel import (
    admit,
    advance,
    pull_arrivals,
    release,
    run_step,
    schedule_running,
    step_seconds,
)

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
        workers[g].kv_tokens = (rules.kv_blocks - run.free_blocks) * rules.block_size
        workers[g].waiting_tokens = waiting_tokens


@njit(cache=True)
def advance_apart(requests, rules, runs, batches, samples, residues, rng, until_s):
    """Run every worker on its own up to the decision on or after `until_s`."""
    for g in range(len(runs)):
        advance(requests, rules, runs[g : g + 1], batches[g], samples[g], residues, NO_RANKING, -1, rng, until_s)


@njit(cache=True)
def advance_together(requests, rules, runs, batches, samples, own_s, rng, until_s):
    """Run all workers in lockstep up to the step decided on or after `until_s`, or until nobody has anything to do.

    A step lasts as long as the slowest worker's; one with nothing to do takes part in it idle. own_s: seconds of its
    own work are added per worker.
    """
    seconds = np.zeros(len(runs))
    while runs[0].now_s < until_s:
        busy = False
        longest_s = 0.0
        dropped = 0
        for g in range(len(runs)):
            run = runs[g]
            pull_arrivals(requests, rules, run)
            busy |= run.n_running + run.n_waiting > 0
            budget, preempted = schedule_running(requests, rules, run, batches[g], rng)
            if preempted == 0:
                admit(requests, rules, run, batches[g], budget, NO_RANKING, 0)
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
                own_s[g] += seconds[g]
            release(requests, runs[g], batches[g])
