"""The routing policies: what routers ship, with their real defaults, and ours; a file each.

Each is made by a function of `POLICIES` and is an object with `assign` (see `surface.py`). The built-in ones are
`Compiled`: the simulators run them compiled, and `assign` runs the same compiled decision on the arrays it is given, so
that the live router does too. A policy that remembers (turns, published counts, prefixes, what it learned) remembers
from call to call; `fresh()` is one that has seen nothing.

One more is a file here and a line below. Other packages add theirs under the entry point `shadowprice.routing`
(docs/routing.md).
"""

import inspect
from typing import Any, TypeAlias

from shadowprice.errors import PolicyError
from shadowprice.fleet.names import did_you_mean
from shadowprice.plugins import Registry
from shadowprice.routing.compiled import Compiled
from shadowprice.routing.plain import Plain
from shadowprice.routing.policies.bf_io import bf_io
from shadowprice.routing.policies.br_0 import br_0
from shadowprice.routing.policies.cache_aware import cache_aware
from shadowprice.routing.policies.consistent_hash import consistent_hash
from shadowprice.routing.policies.join_shortest_queue import join_shortest_queue
from shadowprice.routing.policies.least_kv import least_kv
from shadowprice.routing.policies.power_of_two import power_of_two
from shadowprice.routing.policies.priced_holes import MOST_PASSES, priced_holes
from shadowprice.routing.policies.random import random
from shadowprice.routing.policies.round_robin import round_robin
from shadowprice.routing.policies.vllm_internal import vllm_internal
from shadowprice.routing.surface import RoutingPolicy

__all__ = [
    "MOST_PASSES",
    "POLICIES",
    "NamedPolicy",
    "bf_io",
    "br_0",
    "having",
    "least_kv",
    "make",
    "priced_holes",
    "round_robin",
]

POLICIES: Registry[RoutingPolicy] = Registry(
    "shadowprice.routing",
    {
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
    },
)


NamedPolicy: TypeAlias = Compiled | Plain


def make(name: str, **parameters: Any) -> NamedPolicy:
    """The policy of that name, with those of the parameters that its constructor has.

    Raises PolicyError for an unknown name, an impossible parameter, and an installed policy that is none.
    """
    if name not in POLICIES:
        raise PolicyError(f"unknown routing policy {name!r}; {did_you_mean(name, POLICIES)}")
    constructor = POLICIES[name]
    policy = constructor(**{key: value for key, value in parameters.items() if key in _parameters(constructor)})
    if not callable(getattr(policy, "assign", None)):
        raise PolicyError(
            f"routing policy {name!r} is {policy!r}; expected an object with assign(pending, workers, now_s)"
        )
    if not isinstance(policy, Compiled):
        return Plain(name, policy)
    if policy.name != name:
        raise PolicyError(f"routing policy {name!r} calls itself {policy.name!r}; expected one name")
    return policy


def having(parameter: str) -> list[str]:
    """Names of the policies that have this parameter."""
    return [name for name in POLICIES if parameter in _parameters(POLICIES[name])]


def _parameters(constructor: Any) -> list[str]:
    return list(inspect.signature(constructor).parameters)
