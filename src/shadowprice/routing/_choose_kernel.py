# mypy: allow-untyped-defs, allow-untyped-calls
"""What the rules of policies have in common, compiled: who may take a request, who has least, what is cached where."""

import numpy as np

from shadowprice.kernels import njit


@njit(cache=True)
def draw(memory):
    """The next random number in [0, 1)."""
    drawn = memory.drawn
    drawn[0] += 1
    return memory.draws[drawn[0] - 1]


@njit(cache=True)
def may_take(workers, g, may_wait):
    """Can worker g be given one more."""
    return workers[g].shut == 0 and (not may_wait or workers[g].room > 0)


@njit(cache=True)
def give(requests, workers, r, g):
    """Book request r on worker g, while the decision lasts."""
    workers[g].level += requests[r].prompt / workers[g].speed
    workers[g].count += 1
    workers[g].room -= 1


@njit(cache=True)
def nth_open(workers, n, may_wait):
    """The n-th worker, from 0, that can be given one more."""
    for g in range(len(workers)):
        if may_take(workers, g, may_wait):
            if n == 0:
                return g
            n -= 1
    return -1


@njit(cache=True)
def count_open(workers, may_wait):
    """How many workers can be given one more."""
    n = 0
    for g in range(len(workers)):
        n += 1 if may_take(workers, g, may_wait) else 0
    return n


@njit(cache=True)
def least_loaded(workers, may_wait):
    """The worker with the least load."""
    best = -1
    for g in range(len(workers)):
        if may_take(workers, g, may_wait) and (best < 0 or workers[g].level < workers[best].level):
            best = g
    return best


@njit(cache=True)
def fewest_requests(workers, may_wait):
    """The first of the workers with the fewest requests."""
    best = -1
    for g in range(len(workers)):
        if may_take(workers, g, may_wait) and (best < 0 or workers[g].count < workers[best].count):
            best = g
    return best


@njit(cache=True)
def highest(workers):
    """The largest load of a worker that may be given more."""
    top = 0.0
    for g in range(len(workers)):
        if workers[g].shut == 0:
            top = max(top, workers[g].level)
    return top


@njit(cache=True)
def prefix_blocks(requests, r, g, blocks, tree):
    """Leading blocks of request r that worker g is known to hold."""
    n = 0
    if len(tree) > 0:
        word, bit = g // 64, np.uint64(1) << np.uint64(g % 64)
        while n < requests[r].n_blocks and tree[blocks[requests[r].first_block + n], word] & bit:
            n += 1
    return n


@njit(cache=True)
def cached_tokens(requests, r, g, prefixes):
    """Leading prompt tokens of request r that worker g is known to hold, at most all but the last."""
    known = prefix_blocks(requests, r, g, prefixes.blocks, prefixes.tree) * prefixes.block_tokens
    return min(known, requests[r].prompt - 1)


@njit(cache=True)
def remember_prefix(requests, r, g, prefixes):
    """Put the prompt of request r into the tree of worker g."""
    tokens, tree = prefixes.tokens, prefixes.tree
    if requests[r].n_blocks > 0 and len(tree) > 0:
        blocks = prefixes.blocks
        tokens[g] += requests[r].prompt - cached_tokens(requests, r, g, prefixes)
        word, bit = g // 64, np.uint64(1) << np.uint64(g % 64)
        for i in range(requests[r].first_block, requests[r].first_block + requests[r].n_blocks):
            tree[blocks[i], word] |= bit
    else:
        tokens[g] += requests[r].prompt
