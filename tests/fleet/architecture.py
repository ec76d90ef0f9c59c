"""A row of the table of public models."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """vLLM's class and the model's name, the fields of its config.json that matter, and what follows from them.

    kv: bytes of one token in 16 bits, before windows. parameters, active: all, and those that one token uses. weights:
    bytes. state: bytes of one sequence whatever its length.
    """

    architecture: str
    name: str
    config: dict[str, Any]
    kv: int
    parameters: int
    active: int
    weights: int
    state: int
