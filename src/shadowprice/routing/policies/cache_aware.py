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
    return Compiled("cache_aware", by_cache, numbers, needs, audited=False)


@njit(cache=True)
def by_cache(numbers, question, memory, i):
    """The worker that `cache_aware` says; its tree gets the prompt."""
    requests, workers, prefixes, r = question.requests, question.workers, memory.prefixes, question.pool[i]
    g = fewest_requests(workers, question.may_wait)
    least, most = workers[g].count, 0
    for h in range(len(workers)):
        if workers[h].shut == 0:
            most = max(most, workers[h].count)
    if most - least <= numbers[1] or most <= numbers[2] * least:
        g = _best_match(numbers[0], requests, r, workers, prefixes, question.may_wait)
    remember_prefix(requests, r, g, prefixes)
    return g


@njit(cache=True)
def _best_match(cache_threshold, requests, r, workers, prefixes, may_wait):
    """The worker whose tree matches the prompt best, if by more than the threshold; else the one of the smallest."""
    tokens, in_blocks = prefixes.tokens, requests[r].n_blocks > 0
    best, longest, smallest = -1, 0, -1
    for g in range(len(workers)):
        if may_take(workers, g, may_wait):
            match = cached_tokens(requests, r, g, prefixes) if in_blocks else 0
            if match > longest:
                best, longest = g, match
            if smallest < 0 or tokens[g] < tokens[smallest]:
                smallest = g
    return best if longest > cache_threshold * requests[r].prompt else smallest
