"""The routing policies: what routers ship, with their real defaults, and ours.

Each is made by a function of `POLICIES` and is an object with `assign` (see `surface.py`). The barrier simulator runs
them compiled; `assign` runs the same compiled decision on the arrays it is given, so that the live router does too.
A policy that remembers (turns, published counts, prefixes, what it learned) remembers from call to call; `fresh()`
is one that has seen nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.errors import PolicyError
from shadowprice.fleet.names import did_you_mean
from shadowprice.routing._ask import Asked
from shadowprice.routing._tables import (
    BR_0,
    CACHE_AWARE,
    CONSISTENT_HASH,
    DRAWS,
    JOIN_SHORTEST_QUEUE,
    JOINT,
    LEARNED,
    LEAST_KV,
    NO_FORECAST,
    POWER_OF_TWO,
    PREDICTED,
    RANDOM,
    ROUND_ROBIN,
    VLLM_INTERNAL,
    Rules,
)
from shadowprice.routing.surface import Needs, Pending, Workers

MOST_PASSES = 300
FORECASTS = {"none": NO_FORECAST, "learned": LEARNED, "predicted": PREDICTED}


@dataclass
class BuiltIn:
    """A compiled policy: its parameters, and what it remembers. seed: of those that draw."""

    name: str
    rules: Rules
    seed: int = 0
    _asked: Asked | None = field(default=None, repr=False, compare=False)

    def assign(self, pending: Pending, workers: Workers, now_s: float) -> IntArray:
        """The worker of each pending request, -1 to keep it in the central queue."""
        return self.memory_of(len(workers), workers.keys).decide(pending, workers, now_s)

    def memory_of(self, workers: int, keys: IntArray | None = None) -> Asked:
        """What it remembers; who is gone since it was last asked is forgotten. keys: see `Workers`."""
        if self._asked is None:
            self._asked = Asked(self.rules, workers, np.random.default_rng(self.seed), keys)
        elif not self._asked.is_of(workers, keys):
            self._asked = self._asked.moved(workers, keys)
        return self._asked

    @property
    def needs(self) -> Needs:
        """What it looks at beside the loads."""
        rules = self.rules
        keys = rules.code == CONSISTENT_HASH
        return Needs(
            prefixes=keys or rules.code == CACHE_AWARE or rules.prefill_kv_tokens > 0,
            keys=keys,
            forecasts=rules.forecast == PREDICTED,
            running=rules.code == JOINT and rules.forecast != NO_FORECAST,
            draws=DRAWS.get(rules.code, 0),
        )

    @property
    def parameters(self) -> frozenset[str]:
        """Which of the parameters that a fleet's router sets it has."""
        return frozenset(("prefill_kv_tokens", "most_passes")) if self.rules.code == JOINT else frozenset()

    @property
    def hole_price(self) -> float | None:
        """The price of a hole per KV token; None where holes have none."""
        return self.rules.price if self.rules.code == JOINT else None

    @property
    def chooses(self) -> bool:
        """From a central queue, does it choose whom to take (else it takes them in order of arrival)."""
        return self.rules.code == JOINT or self.rules.from_pool

    def fresh(self) -> "BuiltIn":
        """The same policy, with nothing seen."""
        return replace(self, _asked=None)


def round_robin() -> BuiltIn:
    """The next worker in turn. Default of many gateways."""
    return BuiltIn("round_robin", Rules(ROUND_ROBIN))


def random(seed: int = 0) -> BuiltIn:
    """Any worker, each as likely."""
    return BuiltIn("random", Rules(RANDOM), seed)


def power_of_two(seed: int = 0) -> BuiltIn:
    """Of two workers drawn at random, the one with fewer requests (running and waiting)."""
    return BuiltIn("power_of_two", Rules(POWER_OF_TWO), seed)


def consistent_hash(virtual_nodes: int = 160) -> BuiltIn:
    """The owner of the session's point on a circle of virtual_nodes per worker (vllm-router's 160).

    A request without a session is placed by its prompt, so that equal prompts meet.
    """
    return BuiltIn(
        "consistent_hash", Rules(CONSISTENT_HASH, virtual_nodes=_at_least(1, virtual_nodes, "virtual_nodes"))
    )


def cache_aware(
    cache_threshold: float = 0.3, balance_abs_threshold: int = 64, balance_rel_threshold: float = 1.5
) -> BuiltIn:
    """SGLang's and vLLM's router, with their defaults.

    Out of balance (most - fewest requests > abs threshold and most > rel threshold * fewest) it takes the worker with
    the fewest; else the one whose tree matches the prompt best, if more than the cache threshold of it; else the one
    with the smallest tree. The tree is by the trace's prefix blocks, not by characters, and nothing leaves it: those
    routers' limit of 2^26 characters a worker, enforced every 120 s, is more than a trace of some thousand requests.
    A worker that is added starts with an empty tree, or that limit behind the smallest.
    """
    rules = Rules(
        CACHE_AWARE,
        cache_threshold=cache_threshold,
        balance_abs=balance_abs_threshold,
        balance_rel=balance_rel_threshold,
    )
    return BuiltIn("cache_aware", rules)


def join_shortest_queue(seed: int = 0) -> BuiltIn:
    """The worker with the fewest requests, running and waiting; among equals any."""
    return BuiltIn("join_shortest_queue", Rules(JOIN_SHORTEST_QUEUE), seed)


def least_kv() -> BuiltIn:
    """The worker with the fewest KV tokens, those of prompts that wait there included."""
    return BuiltIn("least_kv", Rules(LEAST_KV))


def vllm_internal(waiting_weight: float = 4.0, refresh_s: float = 0.1) -> BuiltIn:
    """vLLM's own data-parallel balancer: least 4 * waiting + running, by counts published every 100 ms.

    Between two publications it adds the requests it sent itself to the waiting (DPLBAsyncMPClient, one front end).
    """
    return BuiltIn("vllm_internal", Rules(VLLM_INTERNAL, waiting_weight=waiting_weight, refresh_s=refresh_s))


def br_0(from_pool: bool = False, most_passes: int = MOST_PASSES) -> BuiltIn:
    """BalanceRoute without prediction (arXiv 2605.06113), rebuilt from its description.

    A prompt s on a worker with margin m below the maximum lowers the step's imbalance by s if s <= m, and by
    m - (G - 1)(s - m) if it overflows: that is its score. The worker with the widest margin is served first. Requests
    are taken in order of arrival, where that is least KV; from_pool: it takes the waiting request with the best score,
    unless the oldest was passed over most_passes times.
    """
    rules = Rules(BR_0, from_pool=from_pool, most_passes=_at_least(0, most_passes, "most_passes"), to_maximum=True)
    return BuiltIn("br_0", rules)


def bf_io(
    horizon: int | None = None,
    points: int = 5,
    *,
    forecast: str = "learned",
    discount: float = 1.0,
    price: float = 0.25,
    most_passes: int = MOST_PASSES,
    **others: Any,
) -> BuiltIn:
    """Balance-Future over a window of `horizon` steps, looked at in `points` of them, with holes priced in.

    After BF-IO (arXiv 2601.17855): all waiting requests are assigned together, to minimise the imbalance of the
    window. forecast: "learned" weighs each running request by the chance that its age leaves it, a hazard learned
    online; "predicted" takes `predicted_output` at its word (an oracle when exact); "none" looks at the coming step
    only. discount: weight of a step ahead relative to the one before. price=0 leaves the pure window; else see
    `priced_holes`, which has the other parameters too. `optimum.step_optimum` is its exact integer program.
    """
    others.setdefault("growth_tie", 0.0)
    if forecast not in FORECASTS:
        raise PolicyError(f"bf_io: forecast is {forecast!r}; expected one of {', '.join(FORECASTS)}")
    points = _at_least(1, points, "points")
    if horizon is not None and _at_least(0, horizon, "horizon") == 0:
        forecast = "none"
    points = 1 if forecast == "none" else points
    stride = -1.0 if horizon is None else horizon / max(points - 1, 1)
    rules = priced_holes(price=price, most_passes=most_passes, **others).rules._replace(
        forecast=FORECASTS[forecast], points=points, stride=stride, discount=discount
    )
    return BuiltIn("bf_io", rules)


def priced_holes(
    holes: int | None = None,
    price: float = 0.25,
    *,
    tie: float = 0.0001,
    growth_tie: float = 0.002,
    most_passes: int = MOST_PASSES,
    prefill_kv_tokens: float = 0.0,
    fixed_kv_tokens: float = 0.0,
) -> BuiltIn:
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
    if holes is not None:
        _at_least(1, holes, "holes")
    rules = Rules(
        JOINT,
        most_passes=_at_least(0, most_passes, "most_passes"),
        holes=holes or 0,
        price=price,
        tie=tie,
        growth_tie=growth_tie,
        prefill_kv_tokens=prefill_kv_tokens,
        fixed_kv_tokens=fixed_kv_tokens,
    )
    return BuiltIn("priced_holes", rules)


def _at_least(least: int, value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PolicyError(f"{name} is {value!r}; expected a whole number >= {least}")
    return value


def make(name: str, **parameters: Any) -> BuiltIn:
    """The policy of that name, with those of the parameters that it has.

    Raises PolicyError for an unknown name and for a parameter that is impossible.
    """
    if name not in POLICIES:
        raise PolicyError(f"unknown routing policy {name!r}; {did_you_mean(name, POLICIES)}")
    has = POLICIES[name]().parameters
    return POLICIES[name](**{key: value for key, value in parameters.items() if key in has})


def having(parameter: str) -> list[str]:
    """Names of the policies that have this parameter."""
    return [name for name, policy in POLICIES.items() if parameter in policy().parameters]


POLICIES: dict[str, Callable[..., BuiltIn]] = {
    policy.__name__: policy
    for policy in (
        round_robin,
        random,
        power_of_two,
        consistent_hash,
        cache_aware,
        join_shortest_queue,
        least_kv,
        vllm_internal,
        br_0,
        bf_io,
        priced_holes,
    )
}
