# mypy: allow-untyped-defs, allow-untyped-calls
"""Least KV tokens."""

from shadowprice.routing.compiled import Compiled, least_loaded, njit


def least_kv() -> Compiled:
    """The worker with the fewest KV tokens, those of prompts that wait there included."""
    return Compiled("least_kv", least_tokens, words="to the worker with the fewest KV tokens")


@njit(cache=True)
def least_tokens(numbers, question, memory, i):
    """The first of the workers with the least load over speed."""
    return least_loaded(question.workers, question.may_wait)
