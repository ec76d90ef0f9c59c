# mypy: allow-untyped-defs, allow-untyped-calls
"""Power of two choices."""

from shadowprice.routing.compiled import Compiled, Needs, count_open, draw, njit, nth_open


def power_of_two(seed: int = 0) -> Compiled:
    """Of two workers drawn at random, the one with fewer requests (running and waiting)."""
    words = "to the less busy of two workers"
    return Compiled("power_of_two", better_of_two, needs=Needs(draws=2), words=words, seed=seed)


@njit(cache=True)
def better_of_two(numbers, question, memory, i):
    """Two different workers at random; the one with fewer requests."""
    workers, may_wait = question.workers, question.may_wait
    n = count_open(workers, may_wait)
    first = int(draw(memory) * n)
    if n < 2:
        return nth_open(workers, first, may_wait)
    second = (first + 1 + int(draw(memory) * (n - 1))) % n
    a, b = nth_open(workers, first, may_wait), nth_open(workers, second, may_wait)
    return a if workers[a].count <= workers[b].count else b
