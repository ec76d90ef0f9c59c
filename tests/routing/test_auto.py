"""Choosing among policies: with evidence, not with every wind."""

import numpy as np
import pytest

from shadowprice.errors import PolicyError
from shadowprice.routing.auto import Auto


def test_a_large_lead_changes_it_at_once_and_a_small_one_when_it_lasts() -> None:
    large = Auto("a")
    change = large.take({"a": 0.10, "b": 0.08, "c": 0.2})
    assert change is not None and (change.before, change.after, change.evaluation) == ("a", "b", 1)
    assert change.gain == pytest.approx(0.2)
    assert str(change) == "b instead of a: 20.0 % lower on what passed, 0.08 against 0.1 in the last of 1 evaluations"
    assert large.active == "b" and large.changes == [change]
    assert large.take({"a": 0.10, "b": 0.08, "c": 0.2}) is None
    small = Auto("a")
    changes = [small.take({"a": 1.0, "b": 0.95}) for _ in range(20)]
    assert not any(changes[:4]) and sum(change is not None for change in changes) == 1


def test_a_lead_within_the_margin_changes_nothing() -> None:
    auto = Auto("a", margin=0.02)
    for _ in range(50):
        assert auto.take({"a": 1.0, "b": 0.981}) is None


def test_one_lucky_window_changes_nothing() -> None:
    auto = Auto("a")
    for _ in range(20):
        assert auto.take({"a": 1.0, "b": 1.1}) is None
        assert auto.take({"a": 1.0, "b": 0.95}) is None


def test_the_lead_that_is_needed_falls_with_the_evaluations_down_to_what_is_remembered() -> None:
    auto, ever = Auto("a", margin=0.01, scatter=0.1, forget=0.9), Auto("a", margin=0.01, scatter=0.1, forget=1.0)
    assert auto.needed == np.inf
    needed = []
    for _ in range(200):
        auto.take({"a": 1.0})
        ever.take({"a": 1.0})
        needed.append(auto.needed)
    assert needed[0] == pytest.approx(0.11) and np.all(np.diff(needed) <= 0)
    assert needed[-1] == pytest.approx(0.01 + 0.1 * np.sqrt(0.1 / 1.9), rel=1e-6)
    assert ever.needed == pytest.approx(0.01 + 0.1 / np.sqrt(200))


def test_noise_around_equal_costs_hardly_ever_changes_anything() -> None:
    rng = np.random.default_rng(0)
    auto = Auto("a")
    for _ in range(2000):
        auto.take({name: float(np.exp(rng.normal(0, 0.02))) for name in "ab"})
    assert not auto.changes


def test_it_follows_a_load_that_changes_and_comes_back() -> None:
    auto = Auto("a")
    for costs in [{"a": 1.0, "b": 0.7}] * 20 + [{"a": 0.7, "b": 1.0}] * 20:
        auto.take(costs)
    assert [(change.before, change.after) for change in auto.changes] == [("a", "b"), ("b", "a")]
    assert auto.changes[1].evaluation - 20 <= 10


def test_costs_of_zero_and_none_are_survived() -> None:
    auto = Auto("a")
    for _ in range(5):
        assert auto.take({"a": 0.0, "b": 0.0}) is None
        assert auto.take({"a": 0.0, "b": float("nan"), "c": float("inf")}) is None
        assert auto.take({"b": 1.0}) is None
    assert auto.gain_of("never scored") == -np.inf
    assert auto.active == "a"


@pytest.mark.parametrize("how", [{"margin": 1.0}, {"margin": -0.1}, {"scatter": 1.0}, {"forget": 1.1}])
def test_impossible_settings_are_refused(how: dict[str, float]) -> None:
    with pytest.raises(PolicyError, match="auto: margin"):
        Auto("a", **how)  # type: ignore[arg-type]
