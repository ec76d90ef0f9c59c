"""How the config.json of one type of model is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shadowprice.fleet.config.attention import Biases
from shadowprice.fleet.config.mlps import MlpForm
from shadowprice.fleet.config.odd_names import Prepare
from shadowprice.fleet.config.shape import Shape


def no_more(shape: Shape) -> int:
    """No parameters outside the layers."""
    return 0


@dataclass(frozen=True)
class Family:
    """One row of the table of types.

    names: standard name -> what this type calls it. defaults: what the type's class takes for fields that published
    files leave out. tied: whether output head and embedding are one where the file does not say. biases, mlp: forms of
    attention and MLPs. pattern: which layers slide where the file has no list (attention.kinds). windowed: whether a
    window in the file is used unless `use_sliding_window` forbids it; None: this type has no window whatever the file
    says. prepare: puts what the type says in ways of its own into standard names. words: kinds of layers beyond
    attention by the file's words; a kind is one of states.STATES or "none", no mixer. beside: a state mixer that every
    layer has beside its attention. bare: the file's words for layers without MLP. repeats: mixers and dense MLPs of a
    layer. other: parameters outside the layers.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    tied: bool = False
    biases: Biases = field(default_factory=Biases)
    mlp: MlpForm = field(default_factory=MlpForm)
    pattern: str = "all"
    windowed: bool | None = True
    words: Mapping[str, str] = field(default_factory=dict)
    prepare: Prepare = dict
    beside: str = ""
    bare: frozenset[str] = frozenset()
    repeats: int = 1
    other: Callable[[Shape], int] = no_more
