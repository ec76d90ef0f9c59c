"""Tries to break the charges behind the stable rate: random schedules, with cached prefixes, never take less time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_schedule import busy_time_s

from shadowprice.fleet import StepTime, Worker
from shadowprice.fleet.work import work


@given(seed=st.integers(0, 1_000_000))
@settings(max_examples=150, deadline=None)
def test_no_schedule_takes_less_time_than_the_charges_with_cached_prefixes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    prompt, output = rng.integers(1, 12, n), rng.integers(1, 6, n)
    cached = rng.integers(0, prompt) * (rng.random(n) < 0.7)
    block = int(rng.integers(1, 5))
    a, b, e = 10.0 ** rng.uniform(-2, 0, 3) * (rng.random(3) < 0.8)
    worker = Worker(
        StepTime(10.0 ** rng.uniform(-2, 0.5), a, b, e),
        max_num_seqs=int(rng.integers(1, n + 1)),
        max_num_batched_tokens=int(rng.integers(1, 30)),
        kv_tokens=int((max(prompt + output) // block + 1 + rng.integers(0, 3)) * block),
        block_size=block,
    )
    needs = work(prompt, output, worker, cached)
    busy_s = busy_time_s(prompt, output, cached, worker, rng)
    for prices in (*np.eye(3), rng.dirichlet(np.ones(3))):
        assert needs.charge_s(prices).sum() <= busy_s * (1 + 1e-9)


def test_charges_are_attained_where_nothing_is_wasted() -> None:
    """One sequence at a time: slots bind, and every step is full."""
    rng = np.random.default_rng(1)
    prompt, output = rng.integers(1, 40, 5), rng.integers(1, 9, 5)
    worker = Worker(StepTime(1.0, 0.1, 0.01, 0.2), max_num_seqs=1, max_num_batched_tokens=100, kv_tokens=64)
    needs = work(prompt, output, worker)
    alone_s = needs.alone_s.sum()
    assert needs.charge_s([1, 0, 0]).sum() == pytest.approx(alone_s)


def test_nothing_cached_is_the_same_as_no_cache() -> None:
    rng = np.random.default_rng(2)
    prompt, output = rng.integers(1, 5000, (2, 50))
    worker = Worker(StepTime(6e-3, 1e-5, 4e-8, 2e-5))
    plain, zero = work(prompt, output, worker), work(prompt, output, worker, np.zeros(50, int))
    np.testing.assert_array_equal(plain.use, zero.use)
    np.testing.assert_array_equal(plain.own_s, zero.own_s)
