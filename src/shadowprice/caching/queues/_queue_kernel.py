# mypy: allow-untyped-defs, allow-untyped-calls
"""Runs requests through a cache of queues."""

from shadowprice.caching.queues import _arc_kernel as arc
from shadowprice.caching.queues import _s3fifo_kernel as s3fifo
from shadowprice.caching.queues import _sieve_kernel as sieve
from shadowprice.caching.queues import _tinylfu_kernel as tinylfu
from shadowprice.caching.queues._lists_kernel import keep, leave
from shadowprice.kernels import njit

SIEVE, S3FIFO, ARC, TINYLFU = range(4)


@njit(cache=True)
def evict_from_queues(code, q, sketch, offsets, chain, cost_s, capacity, saved_s, evicted, ends):
    """Run the requests; fills saved_s, evicted and ends as `evict_least_leaf`.

    q: new lists; sketch: of W-TinyLFU. A chain is used from its last item to its first, so that what hangs below
    another is the older; where it does not fit as a whole its first items are kept.
    """
    gone, held, counted, target, warm = 0, 0, 0, 0.0, False
    for i in range(len(offsets) - 1):
        first, last = offsets[i], offsets[i + 1]
        total = 0
        while first < last and q.cached[chain[first]]:
            saved_s[i] += cost_s[chain[first]]
            total += q.size[chain[first]]
            q.request[chain[first]] = i
            first += 1
        missing = first
        while (
            missing < last
            and total + q.size[chain[missing]] <= capacity
            and not _refused(code, q, chain[missing], capacity)
        ):
            total += q.size[chain[missing]]
            missing += 1
        for k in range(missing - 1, offsets[i] - 1, -1):
            v = chain[k]
            if k < first:
                if code == SIEVE:
                    sieve.touch(q, v)
                elif code == S3FIFO:
                    s3fifo.touch(q, v)
                elif code == ARC:
                    arc.touch(q, v)
                else:
                    before = gone
                    counted, gone = tinylfu.touch(q, v, sketch, counted, capacity, i, evicted, gone)
                    held -= _size_of(q, evicted, before, gone)
                continue
            ghost = -1
            if code == ARC:
                target, ghost = arc.recall(q, v, target, capacity)
            elif code == S3FIFO and q.where[v] == s3fifo.GHOST:
                ghost = s3fifo.GHOST
                leave(q, v)
            while held + q.size[v] > capacity:
                before, warm = gone, True
                if code == SIEVE:
                    gone = sieve.make_room(q, i, evicted, gone)
                elif code == S3FIFO:
                    gone = s3fifo.make_room(q, capacity, i, evicted, gone)
                elif code == ARC:
                    gone = arc.make_room(q, target, ghost, q.size[v], capacity, i, evicted, gone)
                else:
                    gone = tinylfu.make_room(q, sketch, capacity, i, evicted, gone)
                held -= _size_of(q, evicted, before, gone)
            if code == SIEVE:
                sieve.insert(q, v)
            elif code == ARC:
                arc.insert(q, v, ghost)
            elif code == TINYLFU:
                tinylfu.insert(q, v, sketch)
            else:
                s3fifo.insert(q, v, ghost >= 0, capacity, warm)
            keep(q, v, i)
            held += q.size[v]
        for k in range(last - 1, first - 1, -1):  # what was not let in
            if not q.cached[chain[k]]:
                evicted[gone] = chain[k]
                gone += 1
        ends[i] = gone


@njit(cache=True)
def _refused(code, q, v, capacity):
    """Is the item, which is not cached, larger than the queue that it would have to enter by."""
    if code == S3FIFO:
        return q.where[v] != s3fifo.GHOST and q.size[v] >= int(capacity * s3fifo.SMALL_SHARE)
    return code == TINYLFU and q.size[v] > tinylfu.sizes(capacity)[0]


@njit(cache=True)
def _size_of(q, evicted, first, last):
    total = 0
    for k in range(first, last):
        total += q.size[evicted[k]]
    return total
