# mypy: allow-untyped-defs, allow-untyped-calls
"""The load of every worker, from the tables of requests in flight."""

from shadowprice.kernels import njit

HEADER = 8  # numbers before the rows of a block: how many rows were ever taken, and what `decision_lock.py` keeps there


@njit(cache=True)
def survey(blocks, place, sums, active):
    """Sum the rows of all processes by worker; returns how many are running.

    blocks [processes, HEADER + 3 * capacity]: see `in_flight.py`; one array, since each costs as much as the sums.
    place: by a row's worker its index here, negative for none; a negative worker is a free row. sums [4, workers]:
    requests that have made a token and their KV tokens, requests that have not and their prompt tokens. active [3, .]:
    worker,     prompt and generated tokens of the running.
    """
    capacity = (blocks.shape[1] - HEADER) // 3
    sums[:] = 0
    running = 0
    for p in range(blocks.shape[0]):
        worker = blocks[p, HEADER : HEADER + capacity]
        prompt = blocks[p, HEADER + capacity : HEADER + 2 * capacity]
        generated = blocks[p, HEADER + 2 * capacity :]
        for i in range(blocks[p, 0]):
            serial = worker[i]
            g = place[serial] if 0 <= serial < len(place) else -1
            if g < 0:
                continue
            if generated[i] > 0:
                sums[0, g] += 1
                sums[1, g] += prompt[i] + generated[i]
                active[0, running], active[1, running], active[2, running] = g, prompt[i], generated[i]
                running += 1
            else:
                sums[2, g] += 1
                sums[3, g] += prompt[i]
    return running
