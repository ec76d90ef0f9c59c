"""The improvement over FCFS-style assignment is of the order sqrt(B log G) (arXiv 2601.17855), or larger."""

import numpy as np
from routing_growth import CASES, adversarial, growth, improvement, root


def test_improvement_is_at_least_sqrt_b_log_g_when_lengths_are_independent() -> None:
    assert np.all(growth(CASES) >= [root(*case) for case in CASES])


def test_improvement_doubles_with_four_times_the_slots() -> None:
    for workers in (4, 16):
        assert 1.6 < improvement(workers, 64) / improvement(workers, 16) < 2.5


def test_improvement_over_round_robin_is_far_above_that_against_an_adversary() -> None:
    for workers in (4, 16):
        assert adversarial(workers) > 50 * root(workers, 8)
