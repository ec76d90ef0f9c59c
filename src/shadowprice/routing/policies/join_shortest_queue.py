# mypy: allow-untyped-defs, allow-untyped-calls
"""Join the shortest queue."""

from shadowprice.routing.compiled import Compiled, Needs, draw, fewest_requests, may_take, njit


def join_shortest_queue(seed: int = 0) -> Compiled:
    """The worker with the fewest requests, running and waiting; among equals any."""
    words = "to the worker with the fewest requests"
    return Compiled("join_shortest_queue", any_of_the_fewest, needs=Needs(draws=1), words=words, seed=seed)


@njit(cache=True)
def any_of_the_fewest(numbers, question, memory, i):
    """One of the workers with the fewest requests, each as likely."""
    workers, may_wait = question.workers, question.may_wait
    best = fewest_requests(workers, may_wait)
    ties = 0
    for g in range(len(workers)):
        if may_take(workers, g, may_wait) and workers[g].count == workers[best].count:
            ties += 1
    chosen = int(draw(memory) * ties)
    for g in range(len(workers)):
        if may_take(workers, g, may_wait) and workers[g].count == workers[best].count:
            if chosen == 0:
                return g
            chosen -= 1
    return best
