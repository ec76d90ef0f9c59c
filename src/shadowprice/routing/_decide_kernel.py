# mypy: allow-untyped-defs, allow-untyped-calls
"""One decision of a built-in policy, compiled; the same in the simulator and in the policy's `assign`."""

from shadowprice.kernels import njit
from shadowprice.routing._joint_kernel import decide_jointly
from shadowprice.routing._pick_kernel import give, pick, remember_prefix
from shadowprice.routing._tables import BR_0, CACHE_AWARE, JOINT


@njit(cache=True)
def decide(
    rules,
    requests,
    pool,
    n,
    workers,
    slots,
    step,
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
):
    """Fill answer[:n] with the worker of each request pool[:n], -1 where it is to wait on.

    workers: kv, queued_kv, speed, running, queued and free are read, level, count and room written. slots[g]: the
    requests that run on worker g. The arrays from notes to sums are the policy's `Memory`.
    """
    rooms = 0
    for g in range(len(workers)):
        load = rules.fixed_kv_tokens + workers[g].kv + workers[g].queued_kv
        workers[g].level = load / workers[g].speed
        workers[g].count = workers[g].running + workers[g].queued
        workers[g].room = workers[g].free if workers[g].shut == 0 else 0
        rooms += workers[g].room
    for i in range(n):
        answer[i] = -1
    if rules.code == JOINT or (rules.code == BR_0 and rules.from_pool and may_wait):
        decide_jointly(
            rules,
            requests,
            pool,
            n,
            workers,
            slots,
            step,
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
            window,
            sums,
            answer,
        )
        return
    for i in range(n):
        if may_wait and rooms == 0:
            break
        r = pool[i]
        g = pick(
            rules, requests, workers, r, now_s, may_wait, notes, seen, blocks, block_tokens, tree, ring, owners, rng
        )
        answer[i] = g
        rooms -= 1
        give(requests, workers, r, g)
        if rules.code == CACHE_AWARE:
            remember_prefix(requests, r, g, blocks, block_tokens, tree, seen)
