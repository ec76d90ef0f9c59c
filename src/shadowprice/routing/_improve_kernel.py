# mypy: allow-untyped-defs, allow-untyped-calls
"""The fast solver of one step's program: greedy, then moves, swaps and exchanges while they lower the imbalance."""

import numpy as np

from shadowprice.kernels import njit

EPSILON = 1e-9  # tokens: changes below it are rounding


@njit(cache=True)
def top_three(load, tops, who):
    """Fill tops[x] and who[x] with the three largest loads at each point and their workers (-1: no such worker)."""
    for x in range(load.shape[1]):
        for j in range(3):
            tops[x, j] = 0.0
            who[x, j] = -1
        for g in range(len(load)):
            value = load[g, x]
            for j in range(3):
                if who[x, j] < 0 or value > tops[x, j]:
                    for i in range(2, j, -1):
                        tops[x, i] = tops[x, i - 1]
                        who[x, i] = who[x, i - 1]
                    tops[x, j] = value
                    who[x, j] = g
                    break


@njit(cache=True)
def change(load, weights, tops, who, g, more_g, k, more_k):
    """By how much the weighted imbalance changes when workers g and k get more_g[x] and more_k[x] at each point.

    k = -1: only g changes.
    """
    total = 0.0
    for x in range(len(weights)):
        top = 0.0
        for j in range(3):
            if who[x, j] != g and who[x, j] != k:
                top = tops[x, j]
                break
        top = max(top, load[g, x] + more_g[x])
        added = more_g[x]
        if k >= 0:
            top = max(top, load[k, x] + more_k[x])
            added += more_k[x]
        total += weights[x] * (len(load) * (top - tops[x, 0]) - added)
    return total


@njit(cache=True)
def leads(who, g):
    """Does worker g hold the maximum at some point: only then can taking load from it lower one."""
    found = False
    for x in range(len(who)):
        found |= who[x, 0] == g
    return found


@njit(cache=True)
def book(load, tops, who, g, more, sign):
    """Add `more` to worker g (or take it away) and renew the three largest."""
    for x in range(load.shape[1]):
        load[g, x] += sign * more[x]
    top_three(load, tops, who)


@njit(cache=True)
def greedy(load, added, weights, rooms, order, answer):
    """Along `order` (largest first), give each request to the worker where the imbalance ends lowest; ties: least load.

    Where there are fewer rooms than requests: the worker of least load first, with the request that suits it best.
    """
    G, points = load.shape
    n = len(added)
    tops, who = np.empty((points, 3)), np.empty((points, 3), np.int64)
    top_three(load, tops, who)
    answer[:] = -1
    for p in range(min(n, rooms.sum())):
        r, g, least, load_least = order[p], -1, np.inf, np.inf
        if rooms.sum() >= n - p:
            for h in range(G):
                if rooms[h] > 0:
                    cost = change(load, weights, tops, who, h, added[r], -1, added[r])
                    total = (load[h] * weights).sum()
                    if cost < least - EPSILON or (cost < least + EPSILON and total < load_least):
                        g, least, load_least = h, cost, total
        else:
            for h in range(G):
                total = (load[h] * weights).sum()
                if rooms[h] > 0 and total < load_least:
                    g, load_least = h, total
            for i in range(n):
                if answer[i] < 0:
                    cost = change(load, weights, tops, who, g, added[i], -1, added[i])
                    if cost < least:
                        r, least = i, cost
        answer[r] = g
        rooms[g] -= 1
        book(load, tops, who, g, added[r], 1.0)


@njit(cache=True)
def improve(load, added, weights, rooms, answer, most_rounds):
    """Lower the imbalance: one request to another worker, two requests swapped, a waiting one for an assigned one.

    load [G, points]: with the assigned requests; rooms [G]: slots still free; both and answer are changed in place.
    Ends when no such change helps, or after most_rounds rounds over all of them. Returns the rounds.
    """
    G, points = load.shape
    n = len(added)
    tops, who = np.empty((points, 3)), np.empty((points, 3), np.int64)
    minus, plus = np.empty(points), np.empty(points)
    top_three(load, tops, who)
    for done in range(most_rounds):
        helped = False
        for i in range(n):
            g = answer[i]
            if g < 0 or not leads(who, g):
                continue
            for x in range(points):  # whole rows would compile numpy's broadcasting and its messages
                minus[x] = -added[i, x]
            best, least = -1, -EPSILON
            for k in range(G):
                if k != g and rooms[k] > 0:
                    cost = change(load, weights, tops, who, g, minus, k, added[i])
                    if cost < least:
                        best, least = k, cost
            if best >= 0:
                book(load, tops, who, g, added[i], -1.0)
                book(load, tops, who, best, added[i], 1.0)
                rooms[g] += 1
                rooms[best] -= 1
                answer[i] = best
                helped = True
        for i in range(n):
            if answer[i] < 0:
                continue
            leading = leads(who, answer[i])
            for j in range(n):
                g, k = answer[i], answer[j]
                if k == g or (k >= 0 and not leading):
                    continue
                for x in range(points):
                    minus[x] = added[j, x] - added[i, x]
                    plus[x] = -minus[x]
                if change(load, weights, tops, who, g, minus, k, plus) < -EPSILON:
                    book(load, tops, who, g, minus, 1.0)
                    if k >= 0:
                        book(load, tops, who, k, plus, 1.0)
                    answer[i], answer[j] = k, g
                    helped = True
                    if k < 0:
                        break
                    leading = leads(who, answer[i])
        if not helped:
            return done
    return most_rounds
