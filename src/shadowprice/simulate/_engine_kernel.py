# mypy: allow-untyped-defs, allow-untyped-calls
"""The compiled heart of the engine simulator: one worker with the semantics of vLLM's V1 scheduler.

`advance` runs until all requests are done, or, with a policy written in Python, until it must be asked. A full
step costs O(running); between events (nothing finishes, arrives or joins) steps cost a few nanoseconds each.
The tables are described in `_engine_state.py`. The parts are one file each: `_engine_queue_kernel` (who waits),
`_engine_memory_kernel` (blocks and gates), `_engine_schedule_kernel` (a step's decision), `_engine_step_kernel` (its
course).
"""

from shadowprice.kernels import njit
from shadowprice.simulate._engine_queue_kernel import pull_arrivals
from shadowprice.simulate._engine_schedule_kernel import admit, schedule_running
from shadowprice.simulate._engine_state import ASK, DONE, LATER, NO_MEMORY, RETRY, STUCK
from shadowprice.simulate._engine_step_kernel import coast, release, run_step, step_seconds


@njit(cache=True)
def advance(engines, g, ranking, ranked, rng, until_s):
    """Run engine g until all is done (DONE), a Python policy must rank who waits (ASK), or nothing can move (STUCK).

    Also until the next decision would fall on or after `until_s` (LATER): then more arrivals may be chained.

    ranking: ids of waiting requests, best first, the policy's answer for this step; ranked: how many, -1 for none yet.
    """
    requests, rules, keys = engines.requests, engines.rules, engines.keys
    run, batch, samples = engines.runs[g], engines.batches[g], engines.samples[g]
    while True:
        pull_arrivals(requests, rules, run)
        if run.n_running == 0 and run.n_waiting == 0:
            if run.following < 0:
                return DONE
            run.now_s = max(run.now_s, requests[run.following].arrival_s)
            continue
        if run.now_s >= until_s:
            return LATER
        if rules.asks and ranked < 0 and run.n_waiting > 0 and (run.n_running < rules.max_num_seqs or rules.gives_way):
            return ASK
        budget, preempted = schedule_running(requests, rules, run, batch, keys, rng)
        ended = RETRY
        if preempted == 0:
            ended = admit(requests, rules, run, batch, keys, budget, ranking, max(ranked, 0))
        if rules.asks and (ended == NO_MEMORY or rules.gives_way):
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
            coast(engines, g, ended, decided_s, until_s)
