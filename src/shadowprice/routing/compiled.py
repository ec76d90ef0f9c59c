"""A policy of one compiled function. It runs inside the simulators' kernels, and in `assign` for the live router.

Writing one: a function of a question, compiled, and a constructor (docs/routing.md has an example):

    @njit(cache=True)
    def rule(numbers, question, memory, i):
        # the worker of request question.pool[i], which may take it now: see `Question`, `Remembered`

What rules have in common (`may_take`, `least_loaded` ...) can be taken from here.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from shadowprice.arrays import IntArray
from shadowprice.errors import PolicyError
from shadowprice.kernels import njit
from shadowprice.routing._choose_kernel import (
    cached_tokens,
    count_open,
    draw,
    fewest_requests,
    highest,
    least_loaded,
    may_take,
    nth_open,
    remember_prefix,
)
from shadowprice.routing._decide_kernel import address_of
from shadowprice.routing._decider import Decider
from shadowprice.routing._tables import Question, Remembered, Rule
from shadowprice.routing.plain import Plain
from shadowprice.routing.surface import NOTHING, Needs, Pending, Workers

__all__ = [
    "Compiled",
    "Needs",
    "Question",
    "Remembered",
    "at_least",
    "cached_tokens",
    "count_open",
    "draw",
    "fewest_requests",
    "highest",
    "least_loaded",
    "may_take",
    "njit",
    "nth_open",
    "remember_prefix",
]


@dataclass
class Compiled:
    """A compiled policy: its rule, its parameters, and what it remembers from call to call.

    rule(numbers, question, memory, i) -> worker: once for each request that waits, in order of arrival. at_once: once
    with i = -1 for all that are routed on arrival, to be written to question.answer; chooses: so for all that wait in
    a central queue. numbers: its parameters, as the rule reads them. needs: what it looks at and remembers. words: how
    it routes, after "Route ..."; audited: whether the audit lists it, whose engines route on arrival and keep no
    prefixes. most_passes: its bound on younger
    requests that go before one from a central queue. hole_price: of a hole per KV token. seed: of those that draw.
    """

    name: str
    rule: Any = field(repr=False)
    numbers: tuple[float, ...] = ()
    needs: Needs = NOTHING
    words: str = ""
    audited: bool = True
    at_once: bool = False
    chooses: bool = False
    most_passes: int | None = None
    hole_price: float | None = None
    seed: int = 0
    _decider: Decider | None = field(default=None, repr=False, compare=False)

    def assign(self, pending: Pending, workers: Workers, now_s: float) -> IntArray:
        """The worker of each pending request, -1 to keep it in the central queue."""
        return self.decider_of(len(workers), workers.keys).decide(pending, workers, now_s)

    def decider_of(self, workers: int, keys: IntArray | None = None) -> Decider:
        """What it remembers; who is gone since it was last asked is forgotten. keys: see `Workers`."""
        if self._decider is None:
            rng = np.random.default_rng(self.seed)
            self._decider = Decider(self.kernel_rule(), self.needs, workers, rng, keys)
        elif not self._decider.is_of(workers, keys):
            self._decider = self._decider.moved(workers, keys)
        return self._decider

    def kernel_rule(self) -> Rule:
        """The rule as kernels take it, compiled."""
        numbers = np.array(self.numbers, np.float64)
        return Rule(self.ready(), self.at_once, self.chooses, self.needs.outputs, numbers)

    def ready(self) -> int:
        """Compile its rule, if it is not yet: the first decision then does not wait for it. Returns its address.

        Raises PolicyError for a rule that does not compile.
        """
        try:
            return address_of(self.rule)
        except (AttributeError, TypeError, NumbaError) as error:
            expected = "rule(numbers, question, memory, i)"
            raise PolicyError(f"{self.name!r}: its rule does not compile as {expected}: {error}") from error

    def interpreted(self) -> Plain:
        """The same policy, with nothing seen, asked through `assign` wherever compiled policies run compiled."""
        return Plain(self.name, self.fresh())

    def fresh(self) -> "Compiled":
        """The same policy, with nothing seen."""
        return replace(self, _decider=None)


def at_least(least: int, value: int, name: str) -> int:
    """The parameter, if it is a whole number of at least so much; else raises PolicyError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PolicyError(f"{name} is {value!r}; expected a whole number >= {least}")
    return value
