# mypy: allow-untyped-defs, allow-untyped-calls
"""KV memory in the engine kernel: what a request holds, will hold by its forecast, and whether the gate lets it in."""

from shadowprice.fleet._token_curve_kernel import curve, curve_blocks
from shadowprice.kernels import njit
from shadowprice.simulate._engine_state import HEADROOM, LOOK_AHEAD, OPTIMISTIC, RESERVE_PEAK, RUNNING

SLACK = 1e-7  # relative: far more than the sums of curves may be off by rounding


@njit(cache=True)
def context(requests, r):
    """KV tokens r holds once its present context is computed."""
    return requests[r].prompt + requests[r].generated


@njit(cache=True)
def blocks(tokens, block_size):
    """Blocks that hold so many tokens."""
    return (tokens + block_size - 1) // block_size


@njit(cache=True)
def blocks_of(rules, tokens):
    """Blocks that a request of so many tokens holds on this worker."""
    if rules.plain:
        return blocks(tokens, rules.block_size)
    return curve_blocks(rules.kept, tokens, rules.block_size)


@njit(cache=True)
def steps_left(requests, r):
    """Tokens that r is still forecast to make, at least one."""
    return max(requests[r].predicted - requests[r].generated, 1)


@njit(cache=True)
def steps_held(requests, rules, r):
    """Steps for which r will hold blocks: to its last token, and one more when steps are decided a step ahead."""
    return steps_left(requests, r) + (1 if rules.lag else 0)


@njit(cache=True)
def kept(requests, rules, r):
    """KV tokens that r's present context takes, before rounding to blocks."""
    return curve(rules.kept, context(requests, r))


@njit(cache=True)
def fits_ahead_by_curve(requests, rules, run, batch, candidate):
    """`fits_ahead` for layers of several kinds.

    Of a context that grows by m tokens what it takes grows by at least low * m and at most high * m, since its curve
    is concave: most moments are decided by these two, the others by counting.
    """
    size = run.n_by_finish
    capacity = float(rules.kv_blocks * rules.block_size)
    low, high = rules.kept[1], rules.kept[1] + rules.kept[2]
    candidate_left = steps_held(requests, rules, candidate)
    alive = size + 1
    held = kept(requests, rules, candidate)
    for i in range(size):
        held += kept(requests, rules, batch[i].by_finish)
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
        if held + alive * low * (d - 1) > capacity * (1 + SLACK):
            return False
        if held + alive * (high * (d - 1) + rules.block_size) > capacity * (1 - SLACK):
            used = 0
            if candidate_left >= d:
                used += blocks_of(rules, context(requests, candidate) + d - 1)
            for j in range(size):
                if steps_held(requests, rules, batch[j].by_finish) >= d:
                    used += blocks_of(rules, context(requests, batch[j].by_finish) + d - 1)
            if used > rules.kv_blocks:
                return False
        held -= kept(requests, rules, r)
        alive -= 1
    return True


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
    """Blocks that r counts for: of its context, of its last forecast step (RESERVE_PEAK), or grown (HEADROOM)."""
    later = 0
    if rules.gate == RESERVE_PEAK:
        later = steps_left(requests, r) - 1
    elif rules.gate == HEADROOM:
        later = rules.headroom
    return blocks_of(rules, context(requests, r) + later)


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
    if rules.gate == LOOK_AHEAD and not rules.plain:
        return fits_ahead_by_curve(requests, rules, run, batch, r)
    if rules.gate == LOOK_AHEAD:
        return fits_ahead(requests, rules, run, batch, r)
    need = blocks_under_gate(requests, rules, r)
    for i in range(run.n_running):
        if requests[batch[i].id].status == RUNNING:
            need += blocks_under_gate(requests, rules, batch[i].id)
    return need <= (1.0 - rules.alpha) * rules.kv_blocks
