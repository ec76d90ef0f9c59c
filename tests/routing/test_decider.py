"""A compiled policy asked through arrays: by the entry that numba compiled, not through numba's dispatch."""

import numpy as np
import pytest
from numba import njit

from shadowprice.routing import POLICIES, Active, Pending, Workers
from shadowprice.routing._decide_kernel import SIGNATURE, address_of
from shadowprice.routing._decider import compiled
from shadowprice.routing._decider_kernel import answer_once
from shadowprice.routing._tables import NO_RULE


def ask(name: str, n: int, *, copies: bool) -> np.ndarray:
    """A decision on columns of the types that callers have: read-only, strided, of other integers."""
    prompts = np.arange(1, 2 * n + 1, dtype=np.int32)[::2]
    kv = np.array([500, 20, 300])
    kv.setflags(write=copies)
    active = Active(np.array([0, 2]), np.array([90, 80]), np.array([3, 4], np.int32))
    view = Workers(kv, np.array([1, 0, 1]), np.zeros(3, np.int64), np.zeros(3, np.int32), np.full(3, 9), active=active)
    return POLICIES[name]().assign(Pending(np.zeros(n), prompts, np.full(n, -1)), view, 0.0)


@pytest.mark.parametrize("name", POLICIES)
def test_the_entry_takes_whatever_types_the_columns_have_and_is_compiled_once(name: str) -> None:
    first = ask(name, 5, copies=True)
    signatures = list(answer_once.signatures)
    np.testing.assert_array_equal(ask(name, 5, copies=False), first)
    assert list(answer_once.signatures) == signatures
    assert np.all((first >= 0) & (first < 3))


def test_the_entry_is_what_numba_would_call_itself() -> None:
    """numba's public `compile` returns it: where another numba returned something else, every decision would be off."""
    policy = POLICIES["least_kv"]()
    decider = policy.decider_of(3)
    assert callable(compiled()) and compiled() is compiled()
    assert compiled() in [answer_once.overloads[known].entry_point for known in answer_once.signatures]
    assert decider.rule.address > NO_RULE.address == 0


def test_a_rule_is_called_through_the_address_of_its_compiled_code() -> None:
    @njit
    def rule(numbers, question, memory, i):  # type: ignore[no-untyped-def]
        return 7

    assert address_of(rule) == address_of(rule) > 0
    assert [tuple(known) for known in rule.signatures] == [SIGNATURE.args]
