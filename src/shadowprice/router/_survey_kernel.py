# mypy: allow-untyped-defs, allow-untyped-calls
"""The load of every worker, from the table of requests in flight."""

from numba import njit


@njit(cache=True)
def survey(worker, prompt, generated, n, count, kv, waiting, waiting_tokens, active):
    """Sum the first n rows by worker (-1: a free row); returns how many are running.

    count, waiting: requests that have made a token, and that have not; kv, waiting_tokens: their tokens. active
    [3, capacity]: worker, prompt and generated tokens of the running.
    """
    count[:] = 0
    kv[:] = 0
    waiting[:] = 0
    waiting_tokens[:] = 0
    running = 0
    for i in range(n):
        g = worker[i]
        if g < 0:
            continue
        if generated[i] > 0:
            count[g] += 1
            kv[g] += prompt[i] + generated[i]
            active[0, running], active[1, running], active[2, running] = g, prompt[i], generated[i]
            running += 1
        else:
            waiting[g] += 1
            waiting_tokens[g] += prompt[i]
    return running
