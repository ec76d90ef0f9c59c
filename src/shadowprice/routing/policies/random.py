# mypy: allow-untyped-defs, allow-untyped-calls
"""A worker drawn at random."""

from shadowprice.routing.compiled import Compiled, Needs, count_open, draw, njit, nth_open


def random(seed: int = 0) -> Compiled:
    """Any worker, each as likely."""
    return Compiled("random", any_worker, needs=Needs(draws=1), words="to any worker", seed=seed)


@njit(cache=True)
def any_worker(numbers, question, memory, i):
    """One of those that can be given one more."""
    workers, may_wait = question.workers, question.may_wait
    return nth_open(workers, int(draw(memory) * count_open(workers, may_wait)), may_wait)
