"""The step time that is learned from gaps between tokens."""

import numpy as np
import pytest

from shadowprice.router.learn_step import FEW, PRIOR, fit_steps


def test_a_linear_step_time_is_found_again_though_some_steps_are_held_up() -> None:
    rng = np.random.default_rng(0)
    running, kv = rng.integers(1, 64, 400), rng.integers(1000, 60_000, 400)
    seconds = 0.01 + 2e-5 * running + 1e-7 * kv
    held_up = rng.random(400) < 0.08
    fitted = fit_steps(zip(running.tolist(), kv.tolist(), (seconds * np.where(held_up, 5, 1)).tolist(), strict=True))
    assert fitted.fixed_s == pytest.approx(0.01, rel=0.02)
    assert fitted.per_kv_token_s == pytest.approx(1e-7, rel=0.05)


def test_a_constant_load_gives_its_time_and_too_few_steps_the_prior() -> None:
    fitted = fit_steps([(4, 1000, 0.03)] * 100)
    assert fitted.seconds(4, 1000, 0) == pytest.approx(0.03)
    assert fit_steps([(4, 1000, 0.03)] * (FEW - 1)) == PRIOR
