# mypy: allow-untyped-defs, allow-untyped-calls
"""The load of every worker, from the tables of requests in flight."""

from numba import njit


@njit(cache=True)
def survey(worker, prompt, generated, used, place, sums, active):
    """Sum the rows of all processes by worker; returns how many are running.

    worker, prompt, generated [processes, capacity], of which the first used[process, 0] rows count. place: by a row's
    worker its index here, negative for none; a negative worker is a free row. sums [4, workers]: requests that have
    made a token and their KV tokens, requests that have not and their prompt tokens. active [3, .]: worker, prompt and
    generated tokens of the running.
    """
    sums[:] = 0
    running = 0
    for p in range(worker.shape[0]):
        for i in range(used[p, 0]):
            serial = worker[p, i]
            g = place[serial] if 0 <= serial < len(place) else -1
            if g < 0:
                continue
            if generated[p, i] > 0:
                sums[0, g] += 1
                sums[1, g] += prompt[p, i] + generated[p, i]
                active[0, running], active[1, running], active[2, running] = g, prompt[p, i], generated[p, i]
                running += 1
            else:
                sums[2, g] += 1
                sums[3, g] += prompt[p, i]
    return running
