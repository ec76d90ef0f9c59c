# mypy: allow-untyped-defs, allow-untyped-calls
"""BalanceRoute without prediction."""

from shadowprice.routing._balance_kernel import Balance, fill_holes, from_numbers
from shadowprice.routing._learn_kernel import refresh_law
from shadowprice.routing.compiled import Compiled, Needs, at_least, least_loaded, njit
from shadowprice.routing.policies.priced_holes import MOST_PASSES


def br_0(from_pool: bool = False, most_passes: int = MOST_PASSES) -> Compiled:
    """BalanceRoute without prediction (arXiv 2605.06113), rebuilt from its description.

    A prompt s on a worker with margin m below the maximum lowers the step's imbalance by s if s <= m, and by
    m - (G - 1)(s - m) if it overflows: that is its score. The worker with the widest margin is served first. Requests
    are taken in order of arrival, where that is least KV; from_pool: it takes the waiting request with the best score,
    unless the oldest was passed over most_passes times.
    """
    passes = at_least(0, most_passes, "most_passes")
    return Compiled(
        "br_0",
        widest_margin,
        numbers=Balance(most_passes=passes, to_maximum=True).numbers,
        needs=Needs(outputs=from_pool),
        audited=False,  # on arrival it is least_kv
        chooses=from_pool,
        most_passes=passes if from_pool else None,
    )


@njit(cache=True)
def widest_margin(numbers, question, memory, i):
    """Least KV in order of arrival; from a central queue the request with the best score."""
    if i >= 0:
        return least_loaded(question.workers, question.may_wait)
    refresh_law(memory.learned)
    fill_holes(from_numbers(numbers), question, memory.learned)
    return -1
