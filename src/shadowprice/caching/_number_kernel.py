# mypy: allow-untyped-defs, allow-untyped-calls
"""Items of prompt blocks: a block is known by its hash and by the block before it."""

import numpy as np

from shadowprice.kernels import njit


@njit(cache=True)
def number_blocks(hashes, distinct, offsets):
    """The item of each block, each new one numbered in order of appearance, and each item's parent and depth.

    hashes: int64 [total], numbers below `distinct`; offsets: int64 [n + 1]. Returns items [total], parent [items],
    depth [items] (root: 0). Items of one hash are a linked list: hashes that take in what is before them, as the
    engines' do, have one item each.
    """
    first = np.full(distinct, -1)
    following = np.empty(len(hashes), np.int64)
    item = np.empty(len(hashes), np.int64)
    parent = np.empty(len(hashes), np.int64)
    depth = np.empty(len(hashes), np.int64)
    count = 0
    for i in range(len(offsets) - 1):
        above = -1
        for k in range(offsets[i], offsets[i + 1]):
            found = first[hashes[k]]
            while found >= 0 and parent[found] != above:
                found = following[found]
            if found < 0:
                found = count
                parent[count] = above
                depth[count] = k - offsets[i]
                following[count] = first[hashes[k]]
                first[hashes[k]] = count
                count += 1
            item[k] = found
            above = found
    return item, parent[:count].copy(), depth[:count].copy()


@njit(cache=True)
def number_contexts(session, lengths, kept):
    """Items of contexts that grow: call i of a session has lengths[i] blocks, the first kept[i] of an earlier call.

    session: int64 [n], numbers; lengths, kept: int64 [n], kept <= lengths. The kept blocks are those of the latest
    call of the session that has as many (fewer where none has). Returns as `number_blocks`.
    """
    n = len(session)
    latest = np.full(n, -1)  # call of each session
    earlier = np.full(n, -1)  # call of the same session before each
    end = np.full(n, -1)  # last item of each call
    total = lengths.sum()
    item, parent, depth = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.int64)
    count, first = 0, 0
    for i in range(n):
        source, best = -1, latest[session[i]]
        while best >= 0:
            if source < 0 or lengths[best] > lengths[source]:
                source = best
            if lengths[best] >= kept[i]:
                break
            best = earlier[best]
        keep = min(kept[i], lengths[source]) if source >= 0 else 0
        above = -1
        if keep > 0:
            above = end[source]
            while depth[above] >= keep:
                above = parent[above]
            v = above
            for k in range(keep - 1, -1, -1):
                item[first + k] = v
                v = parent[v]
        for k in range(keep, lengths[i]):
            parent[count], depth[count] = above, k
            item[first + k] = count
            above = count
            count += 1
        end[i] = above
        earlier[i], latest[session[i]] = latest[session[i]], i
        first += lengths[i]
    return item, parent[:count].copy(), depth[:count].copy()
