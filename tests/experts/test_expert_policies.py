"""Dispatch policies and what balancing by other means changes."""

import numpy as np
import pytest

from shadowprice.errors import ExpertError
from shadowprice.experts.altering import capacity_drop, expert_choice, loss_free_bias
from shadowprice.experts.policies import POLICIES

SLOTS = np.array([0, 1, 0, 2])  # expert 0 on both GPUs
COUNTS = np.array([[10.0, 4.0, 2.0]])


def test_policies_by_hand() -> None:
    rng = np.random.default_rng(0)
    assert POLICIES["even"](COUNTS, SLOTS, 2, rng).tolist() == [[9.0, 7.0]]
    assert POLICIES["optimal"](COUNTS, SLOTS, 2, rng).tolist() == [[8.0, 8.0]]
    # tokens of experts 1 and 2 have one place to go; those of expert 0 stay where they are
    assert POLICIES["nearest"](COUNTS, SLOTS, 2, rng).tolist() == [[9.0, 7.0]]
    drawn = POLICIES["random"](COUNTS, SLOTS, 2, rng)
    assert drawn.sum() == 16
    assert 4 <= drawn[0, 0] <= 14


def test_even_counts_two_replicas_on_one_gpu_twice() -> None:
    load = POLICIES["even"](np.array([[9.0, 3.0]]), np.array([0, 0, 0, 1]), 2, np.random.default_rng(0))
    assert load.tolist() == [[6.0, 6.0]]


def test_capacity_drops_what_exceeds_it_and_says_how_much() -> None:
    altered = capacity_drop(np.array([[10.0, 4.0, 1.0]]), 1.25)  # capacity ceil(1.25 * 5) = 7
    assert altered.tokens.tolist() == [[7.0, 4.0, 1.0]]
    assert altered.dropped == pytest.approx(3 / 15)
    assert altered.added == 0
    with pytest.raises(ExpertError, match="capacity factor 0"):
        capacity_drop(COUNTS, 0)


def test_expert_choice_is_even_and_replaces_choices() -> None:
    altered = expert_choice(np.array([[10.0, 4.0, 1.0]]))
    assert altered.tokens.tolist() == [[5.0, 5.0, 5.0]]
    assert altered.dropped == altered.added == pytest.approx(5 / 15)


def test_bias_evens_out_loads_by_changing_choices() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((64 * 400, 8)) * 0.2 + np.linspace(0, 0.1, 8)
    altered, bias, choices = loss_free_bias(scores, 2, 64)
    first, last = altered.tokens[:20].mean(axis=0), altered.tokens[-20:].mean(axis=0)
    assert last.max() / last.mean() < 1.2 < 1.5 < first.max() / first.mean()
    assert 0.05 < altered.dropped == altered.added < 1
    assert np.all(np.diff(bias) < 0.02)
    assert bias[0] > bias[-1]
    assert np.array_equal(np.bincount(choices[:64].ravel(), minlength=8), altered.tokens[0])
    untouched, _, _ = loss_free_bias(scores, 2, 64, step=0.0)
    assert untouched.dropped == 0


def test_bias_needs_scores_of_at_least_a_batch() -> None:
    with pytest.raises(ExpertError, match="at least one batch"):
        loss_free_bias(np.zeros((3, 4)), 2, 64)
