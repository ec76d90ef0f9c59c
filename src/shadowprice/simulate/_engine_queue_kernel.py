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
    first = requests[a].heap_child
    requests[b].heap_sibling = first
    requests[b].heap_before = a
    if first >= 0:
        requests[first].heap_before = b
    requests[a].heap_child = b
    return a


@njit(cache=True)
def push(requests, run, r):
    """Insert r into the worker's heap of the waiting, the smallest key on top."""
    requests[r].heap_child = -1
    requests[r].heap_sibling = -1
    run.heap_top = meld(requests, run.heap_top, r)


@njit(cache=True)
def meld_siblings(requests, child):
    """Join the heaps of a chain of siblings (-1: none): in pairs, then the pairs from last to first."""
    pairs = -1  # those melded so far, last first, chained by heap_sibling
    while child >= 0:
        other = requests[child].heap_sibling
        following = requests[other].heap_sibling if other >= 0 else -1
        pair = meld(requests, child, other)
        requests[pair].heap_sibling = pairs
        pairs = pair
        child = following
    top = pairs  # a literal -1 would compile `meld` and `before` once more, for it
    if top >= 0:
        pairs = requests[top].heap_sibling
        requests[top].heap_sibling = -1
    while pairs >= 0:
        following = requests[pairs].heap_sibling
        requests[pairs].heap_sibling = -1
        top = meld(requests, top, pairs)
        pairs = following
    return top


@njit(cache=True)
def take_out(requests, run, r):
    """Remove r from the worker's heap, wherever it is."""
    below = meld_siblings(requests, requests[r].heap_child)
    if r == run.heap_top:
        run.heap_top = below
        return
    left, right = requests[r].heap_before, requests[r].heap_sibling
    if requests[left].heap_child == r:
        requests[left].heap_child = right
    else:
        requests[left].heap_sibling = right
    if right >= 0:
        requests[right].heap_before = left
    run.heap_top = meld(requests, run.heap_top, below)


@njit(cache=True)
def wait(requests, rules, run, r):
    """Put r among the waiting."""
    requests[r].status = WAITING
    run.n_waiting += 1
    run.waiting_tokens += context(requests, r)
    if run.oldest < 0 or requests[r].place < requests[run.oldest].place:
        run.oldest = r
    if not rules.asks:
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
def is_late(requests, rules, run, r):
    """Has r come longer ago than a request may be passed over."""
    return run.now_s - requests[r].arrival_s > rules.max_wait_s


@njit(cache=True)
def head_of_queue(requests, rules, run):
    """Who of those that wait is to be admitted next: the oldest if it is late, else the smallest key."""
    oldest = oldest_waiting(requests, run)
    return oldest if is_late(requests, rules, run, oldest) else run.heap_top


@njit(cache=True)
def reach_level(requests, keys, r):
    """Note the level that r has reached, and return it."""
    while requests[r].generated >= keys[requests[r].level].until:
        requests[r].level += 1
    return requests[r].level


@njit(cache=True)
def key_running(requests, rules, run, batch, keys):
    """Give the running the keys that they have by now, where keys move."""
    if rules.moves:
        for i in range(run.n_running):
            r = batch[i].id
            requests[r].key = keys[reach_level(requests, keys, r)].running
