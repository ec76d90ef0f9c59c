"""What the layers of a model consist of: groups of equal mixers and of equal MLPs.

A mixer lets a token see earlier ones: attention keeps keys and values of every token, of the last ones (a window) or
none of its own (another layer's); state-space and linear attention keep a state per sequence instead. A layer has a
mixer, an MLP or both, so the two are grouped apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from shadowprice.errors import FleetError


def _check(part: "Mixer | Mlp") -> None:
    """Raise FleetError unless all numbers are whole and none is negative."""
    for field in fields(part):
        value, least = getattr(part, field.name), int(field.name == "count")
        if field.type is bool and not isinstance(value, bool):
            raise FleetError(f"model.{field.name} of a layer is {value!r}; expected true or false")
        if field.type is int and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise FleetError(f"model.{field.name} of a layer is {value!r}; expected a whole number >= {least}")


@dataclass(frozen=True)
class Mixer:
    """`count` equal mixers; every other number is of one of them.

    parameters: of its projections and of the layer's norms. kv_heads x kv_dim: numbers that one token adds to the cache
    (kv_dim: key and value together), heads divided over the GPUs; kv_heads 0: kv_dim numbers, whole on every GPU (the
    latent vector of multi-head latent attention). kept: whether they are its own; otherwise it reads another layer's.
    window: >0 where only so many last tokens are kept and read. reads: >0 where of those kept at most so many are read
    (sparse attention). index_bytes: of one token's index entry, kept and read for all tokens by every GPU, whatever the
    format of the cache. state_bytes: of one sequence's state, divided over the GPUs. attention_dim: query heads times
    key and value size, the products of one token with one of its context.
    """

    count: int
    parameters: int
    kv_heads: int = 0
    kv_dim: int = 0
    window: int = 0
    reads: int = 0
    kept: bool = True
    index_bytes: int = 0
    state_bytes: int = 0
    attention_dim: int = 0

    def __post_init__(self) -> None:
        _check(self)

    def token_bytes(self, kv_bits: float, gpus: int) -> float:
        """Keys and values of one token on each GPU [bytes], without index."""
        heads = math.ceil(self.kv_heads / gpus) if self.kv_heads else 1
        return heads * self.kv_dim * kv_bits / 8

    def seen(self, tokens: float) -> float:
        """How many of so many tokens of context one step attends to."""
        seen = min(tokens, self.window) if self.window else tokens
        return min(seen, self.reads) if self.reads else seen


@dataclass(frozen=True)
class Mlp:
    """`count` equal MLPs; every other number is of one of them.

    parameters: of a dense MLP, or of the router. shared_parameters: of what every token uses beside the routed experts.
    num_experts of expert_parameters each, of which a token uses num_experts_per_tok. width: numbers of the widest
    intermediate of one token.
    """

    count: int
    parameters: int
    shared_parameters: int = 0
    num_experts: int = 0
    expert_parameters: int = 0
    num_experts_per_tok: int = 0
    width: int = 0

    def __post_init__(self) -> None:
        _check(self)

    @property
    def routed_parameters(self) -> int:
        """Of all routed experts of one MLP."""
        return self.num_experts * self.expert_parameters


Part = TypeVar("Part", Mixer, Mlp)


def grouped_equal(each: Sequence[Part]) -> tuple[Part, ...]:
    """Groups of equal ones, in the order of their first."""
    counts: dict[Part, int] = {}
    for one in each:
        alike = replace(one, count=1)
        counts[alike] = counts.get(alike, 0) + one.count
    return tuple(replace(alike, count=count) for alike, count in counts.items())
