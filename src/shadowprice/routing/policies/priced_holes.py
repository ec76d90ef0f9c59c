"""Holes in the loads of workers, at what they are worth."""

from shadowprice.routing._balance_kernel import Balance, balance_all
from shadowprice.routing._window_kernel import NO_FORECAST, PREDICTED
from shadowprice.routing.compiled import Compiled, Needs, at_least

MOST_PASSES = 300


def priced_holes(
    holes: int | None = None,
    price: float = 0.25,
    *,
    tie: float = 0.0001,
    growth_tie: float = 0.002,
    most_passes: int = MOST_PASSES,
    prefill_kv_tokens: float = 0.0,
    fixed_kv_tokens: float = 0.0,
) -> Compiled:
    """Under a barrier a hole, the maximum load minus a worker's, is an asset: it takes a big prompt for nothing. Ours.

    Its price is what the next prompt would raise the maximum by without it, phi(x) = E[(S - x)+], S the law of the
    last 1,024 prompts. All arrivals of a step are placed together, the largest first, each where it costs least:
    the rise of the maximum, plus price * G / k * sum of phi over the k deepest holes left, plus a little of the load.

    price: how many arrivals a hole waits for, as a share of those that come while it lasts. By Little's law a worker
    sees G arrivals of the fleet between two of its own, so a hole that nobody fills lasts for about G of them.
    holes: k, by default sqrt(G) / 2: the big prompts in so many arrivals come, roughly, by ones and twos, and their
    number spreads with the square root. growth_tie: weight of plain load where load is made by growth and not by
    prompts, per mean growth over mean prompt (both learned): the holes are priced for prompts only.
    From a central queue it fills the deepest hole below the common level with the request that fits it best; one that
    was passed over most_passes times goes first.
    prefill_kv_tokens: affinity to cached prefixes; the KV tokens whose reading in a step takes as long as recomputing
    one prompt token (e / b). fixed_kv_tokens: the fixed step time in KV tokens (c / b), for workers that differ in
    speed. Both 0: balance only.
    """
    balance = parameters(
        holes,
        price,
        tie=tie,
        growth_tie=growth_tie,
        most_passes=most_passes,
        prefill_kv_tokens=prefill_kv_tokens,
        fixed_kv_tokens=fixed_kv_tokens,
    )
    return balanced("priced_holes", balance, "by priced holes")


def parameters(
    holes: int | None = None,
    price: float = 0.25,
    *,
    tie: float = 0.0001,
    growth_tie: float = 0.002,
    most_passes: int = MOST_PASSES,
    prefill_kv_tokens: float = 0.0,
    fixed_kv_tokens: float = 0.0,
) -> Balance:
    """Those of `priced_holes`, checked."""
    return Balance(
        price=price,
        holes=0 if holes is None else at_least(1, holes, "holes"),
        tie=tie,
        growth_tie=growth_tie,
        most_passes=at_least(0, most_passes, "most_passes"),
        prefill_kv_tokens=prefill_kv_tokens,
        fixed_kv_tokens=fixed_kv_tokens,
    )


def balanced(name: str, balance: Balance, words: str) -> Compiled:
    """A policy that places all that wait together, under these parameters."""
    weighs_prefixes = balance.prefill_kv_tokens > 0
    needs = Needs(
        prefixes=weighs_prefixes,
        trees=weighs_prefixes,
        forecasts=balance.forecast == PREDICTED,
        running=balance.forecast != NO_FORECAST,
        outputs=True,
        points=balance.points,
    )
    return Compiled(
        name,
        balance_all,
        numbers=balance.numbers,
        needs=needs,
        words=words,
        at_once=True,
        chooses=True,
        most_passes=balance.most_passes,
        hole_price=balance.price,
    )
