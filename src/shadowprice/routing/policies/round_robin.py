# mypy: allow-untyped-defs, allow-untyped-calls
"""Round robin."""

from shadowprice.routing.compiled import Compiled, Needs, may_take, njit

TURN = 0  # in memory.own: the worker that is next


def round_robin() -> Compiled:
    """The next worker in turn. Default of many gateways."""
    return Compiled("round_robin", next_in_turn, needs=Needs(own=1), words="in turn")


@njit(cache=True)
def next_in_turn(numbers, question, memory, i):
    """The next worker in turn that can be given one more."""
    workers = question.workers
    turn = int(memory.own[TURN])
    for k in range(len(workers)):
        g = (turn + k) % len(workers)
        if may_take(workers, g, question.may_wait):
            memory.own[TURN] = (g + 1) % len(workers)
            return g
    return -1
