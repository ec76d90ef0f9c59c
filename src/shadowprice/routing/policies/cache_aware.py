# mypy: allow-untyped-defs, allow-untyped-calls
"""The router of SGLang and vLLM that follows cached prefixes."""

from shadowprice.routing.compiled import (
    Compiled,
    Needs,
    cached_tokens,
    fewest_requests,
    may_take,
    njit,
    remember_prefix,
)


def cache_aware(
    cache_threshold: float = 0.3, balance_abs_threshold: int = 64, balance_rel_threshold: float = 1.5
) -> Compiled:
    """SGLang's and vLLM's router, with their defaults.

    Out of balance (most - fewest requests > abs threshold and most > rel threshold * fewest) it takes the worker with
    the fewest; else the one whose tree matches the prompt best, if more than the cache threshold of it; else the one
    with the smallest tree. The tree is by the trace's prefix blocks, not by characters, and nothing leaves it: those
    routers' limit of 2^26 characters a worker, enforced every 120 s, is more than a trace of some thousand requests.
    A worker that is added starts with an empty tree, or that limit behind the smallest.
    """
    numbers = (cache_threshold, balance_abs_threshold, balance_rel_threshold)
    needs = Needs(prefixes=True, trees=True)
    return Compiled("cache_aware", by_cache, numbers, needs, words="to the worker that holds its prefix")


@njit(cache=True)
def by_cache(numbers, question, memory, i):
    """The worker that `cache_aware` says; its tree gets the prompt."""
    r = question.pool[i]
    g = _choose(numbers, question, memory.prefixes, r)
    remember_prefix(question.requests, r, g, memory.prefixes)
    return g


@njit(cache=True)
def _choose(numbers, question, prefixes, r):
    cache_threshold, balance_abs, balance_rel = numbers[0], numbers[1], numbers[2]
    requests, workers, may_wait, tokens = question.requests, question.workers, question.may_wait, prefixes.tokens
    fewest = fewest_requests(workers, may_wait)
    most = 0
    for g in range(len(workers)):
        if workers[g].shut == 0:
            most = max(most, workers[g].count)
    least = workers[fewest].count
    if most - least > balance_abs and most > balance_rel * least:
        return fewest
    in_blocks = requests[r].n_blocks > 0
    best = -1
    longest = 0
    smallest = -1
    for g in range(len(workers)):
        if may_take(workers, g, may_wait):
            match = cached_tokens(requests, r, g, prefixes) if in_blocks else 0
            if match > longest:
                best, longest = g, match
            if smallest < 0 or tokens[g] < tokens[smallest]:
                smallest = g
    if longest > cache_threshold * requests[r].prompt:
        return best
    return smallest
