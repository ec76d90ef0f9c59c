"""What the policies learn: the law of prompts, and how long a request of some age still lasts."""

import numpy as np
import pytest

from shadowprice.routing import Active, Pending, Workers, bf_io
from shadowprice.routing._learn_kernel import excess, note_end, note_prompt, refresh_law
from shadowprice.routing._tables import AGES, LONGEST_AGE, Learned, nothing_seen
from shadowprice.routing.surface import Needs


def empty_memory() -> Learned:
    return nothing_seen(Needs(running=True, outputs=True, points=5), 4).learned


def test_excess_is_the_mean_overshoot_of_the_recent_prompts() -> None:
    rng = np.random.default_rng(0)
    prompts = rng.lognormal(6, 1.5, 3000).astype(np.int64) + 1
    memory = empty_memory()
    for prompt in prompts:
        note_prompt(memory, float(prompt))
        refresh_law(memory)
    recent = prompts[-1024 - 8 : -8] if memory.totals["law_prompts"][0] == 2992 else prompts[-1024:]
    for hole in (0.0, 17.0, 400.0, 5_000.0, 1e9, -5.0):
        exact = np.maximum(recent - max(hole, 0.0), 0).mean()
        found = excess(memory.law, memory.totals["law_width"][0], hole)
        assert found == pytest.approx(exact, abs=recent.max() / 256 / 4 + 0.02 * exact)
    assert memory.totals["law_mean"][0] == pytest.approx(recent.mean(), rel=0.02)


def test_without_data_every_step_ends_one_in_256() -> None:
    policy = bf_io(20, 5)
    ask(policy, np.zeros(0, np.int64), np.zeros(0, np.int64))
    survival = policy.decider_of(4).memory.learned.survival
    np.testing.assert_allclose(survival, np.exp(-np.arange(5) * 5 / 256) * np.ones((AGES, 1)), rtol=1e-9)


def ask(policy: object, ages: np.ndarray, finished: np.ndarray) -> None:
    zero = np.zeros(4, np.int64)
    active = Active(np.zeros(len(ages), np.int64), np.ones(len(ages), np.int64), ages)
    running = np.bincount(active.worker, minlength=4)
    view = Workers(zero, running, zero, zero, np.full(4, 10_000), active=active, finished_tokens=finished)
    policy.assign(Pending(np.zeros(1), np.array([5]), np.array([-1])), view, 0.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("mean", [30, 300])
def test_survival_of_geometric_outputs_forgets_age(mean: int) -> None:
    outputs = np.random.default_rng(1).geometric(1 / mean, 4000)
    policy = bf_io(20, 5)
    ask(policy, np.zeros(0, np.int64), outputs)
    memory = policy.decider_of(4).memory.learned
    for age in (0, mean // 2, 2 * mean):
        row = memory.survival[memory.age_class[age]]
        np.testing.assert_allclose(row, (1 - 1 / mean) ** (np.arange(5) * 5.0), atol=0.06)


def test_those_still_running_count_with_the_steps_they_survived() -> None:
    """Only short requests ended yet; long ones run. Age 400 must not look deadly for want of data."""
    short = np.full(500, 20)
    alone, beside = bf_io(20, 5), bf_io(20, 5)
    ask(alone, np.zeros(0, np.int64), short)
    ask(beside, np.full(500, 600), short)
    old = beside.decider_of(4).memory.learned.age_class[400]
    assert beside.decider_of(4).memory.learned.survival[old, -1] > 0.999
    assert beside.decider_of(4).memory.learned.survival[old, -1] > alone.decider_of(4).memory.learned.survival[old, -1]
    young = beside.decider_of(4).memory.learned.age_class[19]
    assert beside.decider_of(4).memory.learned.survival[young, 1] < 0.9


def test_old_requests_are_forgotten_when_the_load_changes() -> None:
    memory = empty_memory()
    for output in [10] * 20_000 + [1000] * 20_000:
        note_end(memory, output)
    mean = memory.totals["output_sum"][0] / memory.totals["output_count"][0]
    assert mean > 950


def test_age_classes_cover_all_ages_in_order() -> None:
    memory = empty_memory()
    assert memory.age_class[0] == 0
    assert memory.age_class[LONGEST_AGE - 1] == AGES - 1
    assert np.all(np.diff(memory.age_class.astype(int)) >= 0)
    starts = memory.ages["start"]
    for age in (0, 1, 3, 4, 5, 77, 4096, 100_000):
        c = int(memory.age_class[age])
        assert starts[c] <= age < starts[c] + memory.ages["width"][c] or c == AGES - 1
