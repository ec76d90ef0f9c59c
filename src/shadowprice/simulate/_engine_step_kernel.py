# mypy: allow-untyped-defs, allow-untyped-calls
"""A step of the engine kernel once it is decided: its time, its tokens and who leaves; and quiet steps in a row."""

import numpy as np

from shadowprice.fleet._token_curve_kernel import curve
from shadowprice.kernels import njit
from shadowprice.simulate._engine_memory_kernel import blocks
from shadowprice.simulate._engine_queue_kernel import oldest_waiting, pull_arrivals
from shadowprice.simulate._engine_state import FINISHED, LEAVING, NO_MEMORY, NOBODY


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
                for c in range(samples.shape[1]):  # a whole row would compile numpy's broadcasting and its messages
                    samples[i, c] = samples[2 * i, c]
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
    read_tokens = 0.0  # where layers are of several kinds
    prefill = 0
    for i in range(run.n_running):
        r = batch[i].id
        if requests[r].generated > 0 and requests[r].computed == requests[r].prompt + requests[r].generated - 1:
            decoding += batch[i].tokens
            if rules.plain:
                kv_tokens += batch[i].tokens * (requests[r].computed + 1)
            else:
                read_tokens += batch[i].tokens * curve(rules.read, requests[r].computed + 1)
        else:
            prefill += batch[i].tokens
    if decoding + prefill == 0:
        return 0.0
    return (
        rules.fixed_s
        + rules.per_sequence_s * decoding
        + rules.per_kv_token_s * (kv_tokens if rules.plain else read_tokens)
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
def coast(engines, g, ended, decided_s, until_s):
    """Take the steps in which nothing changes but one more token for everyone running, all decoding.

    They end before a step in which somebody finishes, an arrival could join, a waiting request's bound passes, a key
    moves for which somebody gives way, or blocks run out. The same arithmetic as `run_step`, so the results are the
    same to the last bit. ended: why the admission at `decided_s`, of the step just run, ended.
    """
    requests, rules, keys, residues = engines.requests, engines.rules, engines.keys, engines.residues
    run, batch, samples = engines.runs[g], engines.batches[g], engines.samples[g]
    n = run.n_running
    if n == 0 or n > rules.max_num_batched_tokens or run.n_leaving > 0 or not rules.plain:
        return  # where layers are of several kinds blocks fill unevenly: every step is taken
    steps = np.int64(1) << 62
    kv_tokens = 0
    for i in range(n):
        r = batch[i].id
        if requests[r].generated == 0 or requests[r].computed != requests[r].prompt + requests[r].generated - 1:
            return
        steps = min(steps, requests[r].output - requests[r].generated - 1)
        kv_tokens += requests[r].computed + 1
        if rules.moves and rules.gives_way and ended != NOBODY:
            steps = min(steps, keys[requests[r].level].until - requests[r].generated)
    if steps <= 0:
        return
    stop_s = until_s
    blocked = ended == NO_MEMORY or (rules.gives_way and ended != NOBODY)  # by something that an arrival may change
    if run.following >= 0 and (ended == NOBODY or (blocked and not rules.in_arrival_order)):
        stop_s = min(stop_s, requests[run.following].arrival_s)
    oldest_s = np.inf  # arrival of the one whose bound on waiting may pass, which would make it the head
    if blocked:
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
