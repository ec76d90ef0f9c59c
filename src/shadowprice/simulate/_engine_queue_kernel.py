# mypy: allow-untyped-defs, allow-untyped-calls
"""The waiting in the engine kernel: a pairing heap with the smallest key on top, fed as requests arrive."""

from shadowprice.kernels import njit
from shadowprice.simulate._engine_memory_kernel import context
from shadowprice.simulate._engine_state import WAITING


@njit(cache=True)
def before(requests, a, b):
    """Does request a wait ahead of b: smaller key, then earlier arrival."""
    return requests[a].key < requests[b].key or (requests[a].key == requests[b].key and a < b)


@njit(cache=True)
def meld(requests, a, b):
    """Join two pairing heaps with tops a and b (-1: empty); returns the top."""
    if a < 0 or b < 0:
        return max(a, b)
    if before(requests, b, a):
        a, b = b, a
    requests[b].heap_sibling = requests[a].heap_child
    requests[a].heap_child = b
    return a


@njit(cache=True)
def push(requests, run, r):
    """Insert r into the worker's heap of the waiting, the smallest key on top."""
    requests[r].heap_child = -1
    requests[r].heap_sibling = -1
    requests[r].in_heap = True
    run.heap_top = meld(requests, run.heap_top, r)


@njit(cache=True)
def pop(requests, run):
    """Remove the top of the heap: meld its children in pairs, then the pairs from last to first."""
    top = run.heap_top
    requests[top].in_heap = False
    child = requests[top].heap_child
    pairs = -1  # those melded so far, last first, chained by heap_sibling
    while child >= 0:
        other = requests[child].heap_sibling
        following = requests[other].heap_sibling if other >= 0 else -1
        pair = meld(requests, child, other)
        requests[pair].heap_sibling = pairs
        pairs = pair
        child = following
    top = -1
    while pairs >= 0:
        following = requests[pairs].heap_sibling
        requests[pairs].heap_sibling = -1
        top = meld(requests, top, pairs)
        pairs = following
    run.heap_top = top


@njit(cache=True)
def wait(requests, rules, run, r):
    """Put r among the waiting."""
    requests[r].status = WAITING
    run.n_waiting += 1
    run.waiting_tokens += context(requests, r)
    if run.oldest < 0 or requests[r].place < requests[run.oldest].place:
        run.oldest = r
    if not rules.asks and not requests[r].in_heap:
        push(requests, run, r)


@njit(cache=True)
def pull_arrivals(requests, rules, run):
    """Everything that has arrived by now waits."""
    while run.following >= 0 and requests[run.following].arrival_s <= run.now_s:
        r = run.following
        run.following = requests[r].following
        wait(requests, rules, run, r)


@njit(cache=True)
def oldest_waiting(requests, run):
    """The waiting request that came to this worker first; -1 if nobody waits."""
    if run.n_waiting == 0:
        return -1
    while requests[run.oldest].status != WAITING:
        run.oldest = requests[run.oldest].following
    return run.oldest


@njit(cache=True)
def head_of_queue(requests, rules, run):
    """Who is to be admitted next: the oldest if it has waited past the bound, else the smallest key; -1 if nobody."""
    oldest = oldest_waiting(requests, run)
    if oldest < 0:
        return -1
    if run.now_s - requests[oldest].arrival_s > rules.max_wait_s:
        return oldest
    while requests[run.heap_top].status != WAITING:
        pop(requests, run)
    return run.heap_top
