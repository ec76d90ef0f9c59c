# mypy: allow-untyped-defs, allow-untyped-calls
"""The min-max flow kernel: even out loads over capacitated edges, exactly, with the cut that proves it."""

import numpy as np

from shadowprice.kernels import njit

SWEEPS = 4
RELATIVE_ROUNDING = 1e-13  # of the largest load: what floating-point sums of a few thousand terms may lose


@njit(cache=True)
def _levels(first, head, residual, load, gpus, limit, slack, level, queue):
    """Breadth-first levels from every overloaded GPU; returns (nodes reached, level of the nearest GPU with room)."""
    nodes = len(level)
    reached = 0
    for u in range(nodes):
        level[u] = -1
        if u < gpus and load[u] > limit + slack:
            level[u] = 0
            queue[reached] = u
            reached += 1
    sink_level = nodes + 1
    i = 0
    while i < reached:
        u = queue[i]
        i += 1
        if level[u] >= sink_level:
            break
        for p in range(first[u], first[u + 1]):
            v = head[p]
            if level[v] < 0 and residual[p] > slack:
                level[v] = level[u] + 1
                queue[reached] = v
                reached += 1
                if v < gpus and load[v] < limit - slack:
                    sink_level = level[v]
    return reached, sink_level


@njit(cache=True)
def _send(source, first, head, back, residual, load, gpus, limit, slack, level, sink_level, cursor, path):
    """Send load from one overloaded GPU along shortest paths until it is at the limit or no such path is left."""
    depth = 0
    u = source
    while load[source] > limit + slack:
        if level[u] == sink_level and u < gpus and load[u] < limit - slack:
            amount = min(load[source] - limit, limit - load[u])
            for k in range(depth):
                amount = min(amount, residual[path[k]])
            for k in range(depth):
                residual[path[k]] -= amount
                residual[back[path[k]]] += amount
            load[source] -= amount
            load[u] += amount
            depth = 0
            u = source
            continue
        stop = first[u + 1]
        p = cursor[u]
        if level[u] < sink_level:
            while p < stop and not (residual[p] > slack and level[head[p]] == level[u] + 1):
                p += 1
        else:
            p = stop
        cursor[u] = p
        if p < stop:
            path[depth] = p
            depth += 1
            u = head[p]
        elif depth == 0:
            return
        else:
            depth -= 1
            u = head[back[path[depth]]]
            cursor[u] += 1


@njit(cache=True)
def _even_out(first, head, back, residual, load, gpus, integral):
    """A few sweeps that level each edge's two GPUs: not exact, but near enough to spare most of the searches."""
    for _ in range(SWEEPS):
        for u in range(gpus):
            for p in range(first[u], first[u + 1]):
                v = head[p]
                if u < v < gpus:
                    amount = 0.5 * (load[u] - load[v])
                    if integral:
                        amount = np.trunc(amount)
                    amount = max(-residual[back[p]], min(amount, residual[p]))
                    residual[p] -= amount
                    residual[back[p]] += amount
                    load[u] -= amount
                    load[v] += amount


@njit(cache=True)
def _ratio(total, count, integral):
    """total / count, rounded up if the answer must be a whole number."""
    if integral:
        return float(-((-int(total)) // count))
    return total / count


@njit(cache=True)
def min_max_flow(first, head, back, residual, load, gpus, integral, cut, level, queue, cursor, path):
    """Move load along residual edges until its maximum over the GPUs is least; returns that maximum.

    first [nodes + 1], head, back, residual [2 edges]: edges leaving node u are first[u]:first[u + 1], `back` is the
    position of the opposite direction. Nodes 0..gpus-1 are GPUs, the rest only pass load on. load [nodes] and residual
    are changed in place. integral: whole numbers in, whole numbers out. cut [gpus]: set to 1 on the GPUs of the set S
    that proves the answer, else 0. level, queue, cursor, path: scratch, int [nodes].

    Method: a few levelling sweeps, then Newton on the limit, which starts at the mean (S: all GPUs). Under a limit,
    blocking flows (Dinic) bring overloaded GPUs down to it. Where that stops, the nodes S that overloaded ones still
    reach keep their load under any flow, so load(S) / |S|, rounded up if integral, is a lower bound, and the next
    limit. It is above the limit before, because every GPU of S is at the limit at least and one is above; so no S comes
    twice, the loop ends, and then no load is above a limit that is a lower bound.
    """
    nodes = len(level)
    slack = 0.0
    total = 0.0
    for u in range(gpus):
        slack = max(slack, load[u])
        total += load[u]
        cut[u] = 1
    slack = 0.0 if integral else slack * RELATIVE_ROUNDING
    limit = _ratio(total, gpus, integral)
    _even_out(first, head, back, residual, load, gpus, integral)
    while True:
        while True:
            reached, sink_level = _levels(first, head, residual, load, gpus, limit, slack, level, queue)
            if reached == 0 or sink_level > nodes:
                break
            for u in range(nodes):
                cursor[u] = first[u]
            for i in range(reached):
                u = queue[i]
                if level[u] > 0:
                    break
                _send(u, first, head, back, residual, load, gpus, limit, slack, level, sink_level, cursor, path)
        if reached == 0:
            return limit
        total = 0.0
        members = 0
        for u in range(gpus):
            cut[u] = level[u] >= 0
            if cut[u]:
                total += load[u]
                members += 1
        following = _ratio(total, members, integral)
        if following <= limit + slack:  # only rounding of sums is left
            return limit
        limit = following
