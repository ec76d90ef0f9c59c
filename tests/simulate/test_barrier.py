"""The barrier simulator, by hand and by conservation."""

import numpy as np
import pytest

from shadowprice.errors import PolicyError
from shadowprice.fleet.step_time import StepTime
from shadowprice.routing import POLICIES, Pending, Workers, priced_holes, volumes
from shadowprice.simulate.barrier import Ranks, simulate_barrier
from shadowprice.workload.trace import Ragged, Trace

TIME = StepTime(1.0, 0.0, 0.1, 0.0)
RANKS = ("workers", "slots", "drift_tokens", "speed")


class Fixed:
    """A user's policy in plain Python: a given worker for each request."""

    def __init__(self, *workers: int) -> None:
        self.workers = list(workers)

    def assign(self, pending: Pending, workers: Workers, now_s: float) -> np.ndarray:
        return np.array([self.workers.pop(0) for _ in range(len(pending))])


def test_two_workers_by_hand() -> None:
    """Loads (10, 3), (11, -), (12, -): steps of 2.0, 2.1 and 2.2 s; the other waits 0.7, 1.1 and 1.2 s."""
    trace = Trace(np.zeros(2), np.array([10, 3]), np.array([3, 1]))
    run = simulate_barrier(trace, Fixed(0, 1), Ranks(workers=2, slots=4, step_time=TIME), samples=8)
    np.testing.assert_allclose(run.finish_s, [6.3, 2.0])
    np.testing.assert_allclose(run.first_token_s, [2.0, 2.0])
    assert run.barrier_s == pytest.approx(6.3)
    assert run.idle_s == pytest.approx(0.7 + 1.1 + 1.2)
    np.testing.assert_allclose(run.load_tokens, [[10, 3], [11, 0], [12, 0]])


def test_a_request_for_which_there_is_no_slot_queues_at_its_worker() -> None:
    trace = Trace(np.array([0.0, 0.5]), np.array([10, 10]), np.array([2, 1]))
    run = simulate_barrier(trace, Fixed(0, 0), Ranks(workers=2, slots=1, step_time=TIME))
    np.testing.assert_allclose(run.finish_s, [4.1, 6.1])


def test_idle_workers_wait_for_the_next_arrival() -> None:
    trace = Trace(np.array([0.0, 50.0]), np.array([10, 10]), np.array([1, 1]))
    run = simulate_barrier(trace, Fixed(0, 1), Ranks(workers=2, slots=1, step_time=TIME))
    np.testing.assert_allclose(run.finish_s, [2.0, 52.0])
    assert run.barrier_s == pytest.approx(4.0)


def test_prompts_cached_on_the_worker_are_not_prefilled_again() -> None:
    time = StepTime(1.0, 0.0, 0.0, 0.1)
    prefix = Ragged(np.array([1, 2, 1, 2, 3, 1]), np.array([0, 2, 5, 6]))
    trace = Trace(
        np.array([0.0, 10.0, 20.0]), np.array([20, 30, 11]), np.ones(3, np.int64), prefix=prefix, prefix_block_tokens=10
    )
    run = simulate_barrier(trace, Fixed(0, 0, 1), Ranks(workers=2, slots=1, step_time=time))
    np.testing.assert_allclose(run.first_token_s - trace.arrival_s, [3.0, 2.0, 2.1])


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("pool", [None, 8])
def test_work_is_conserved_under_every_policy(name: str, pool: int | None) -> None:
    """Seconds of own work are those of the requests, whoever serves them: c per worker and step, b per KV token."""
    rng = np.random.default_rng(7)
    n = 300
    trace = Trace(np.cumsum(rng.exponential(3.0, n)), rng.integers(1, 200, n), rng.integers(1, 40, n))
    run = simulate_barrier(trace, POLICIES[name](), Ranks(workers=3, slots=4, step_time=TIME), pool=pool)
    own_s = 3 * run.barrier_s - run.idle_s
    volume = volumes(trace.prompt_tokens, trace.output_tokens).sum()
    assert own_s == pytest.approx(3 * run.steps * TIME.fixed_s + volume * TIME.per_kv_token_s)
    assert np.all(run.first_token_s > trace.arrival_s)
    assert np.all(run.finish_s >= run.first_token_s)
    assert set(run.worker) <= {0, 1, 2}


def test_drift_scales_the_growth() -> None:
    trace = Trace(np.zeros(1), np.array([10]), np.array([5]))
    for drift, top in ((0.0, 10.0), (0.5, 12.0), (2.0, 18.0)):
        run = simulate_barrier(
            trace, Fixed(0), Ranks(workers=1, slots=1, step_time=TIME, drift_tokens=drift), samples=8
        )
        assert run.load_tokens.max() == top


def test_samples_thin_out_and_keep_the_clock() -> None:
    trace = Trace(np.zeros(1), np.array([1]), np.array([1000]))
    run = simulate_barrier(trace, Fixed(0), Ranks(workers=1, slots=1, step_time=TIME), samples=16)
    assert 8 <= len(run.time_s) <= 16
    assert len(set(np.diff(run.load_tokens[:, 0]))) == 1


def test_the_same_run_gives_the_same_bytes_and_leaves_the_policy_as_it_was() -> None:
    rng = np.random.default_rng(1)
    trace = Trace(np.zeros(500), rng.integers(1, 900, 500), rng.integers(1, 60, 500))
    policy = POLICIES["power_of_two"]()
    first, second = (simulate_barrier(trace, policy, Ranks(workers=4, slots=8)) for _ in range(2))
    assert first.finish_s.tobytes() == second.finish_s.tobytes()


class Never:
    def assign(self, pending: Pending, workers: Workers, now_s: float) -> np.ndarray:
        return np.full(len(pending), -1)


@pytest.mark.parametrize(
    ("policy", "how", "message"),
    [
        (Fixed(0, 0), {"pool": 2}, "gave worker 0 more than its 1 free slots"),
        (Fixed(0, 7), {}, "expected workers 0 to 1"),
        (Never(), {}, "expected workers 0 to 1"),
        (Never(), {"pool": 2}, "2 requests wait for ever before idle workers"),
        (Fixed(0, 1), {"saturated": True}, "needs a pool"),
        (Fixed(0, 1), {"workers": 0}, "workers is 0"),
        (Fixed(0, 1), {"pool": 0}, "pool is 0"),
        (Fixed(0, 1), {"drift_tokens": -1.0}, "drift_tokens is -1"),
        (Fixed(0, 1), {"speed": np.array([1.0, 0.0])}, "expected 2 numbers > 0"),
    ],
)
def test_impossible_answers_and_parameters_are_named(policy: object, how: dict[str, object], message: str) -> None:
    trace = Trace(np.zeros(2), np.array([5, 5]), np.array([2, 2]))

    def run(**how: object) -> None:
        ranks = Ranks(**{name: how.pop(name) for name in list(how) if name in RANKS})  # type: ignore[arg-type]
        simulate_barrier(trace, policy, ranks, **how)  # type: ignore[arg-type]

    with pytest.raises(PolicyError, match=message):
        run(**{"workers": 2, "slots": 1} | how)


def test_no_trace_is_too_odd_to_serve() -> None:
    rng = np.random.default_rng(3)
    for n, longest in ((1, 1), (2, 1), (7, 3000)):
        trace = Trace(np.zeros(n), rng.integers(1, 10**6, n), rng.integers(1, longest + 1, n))
        for pool in (None, 1):
            run = simulate_barrier(trace, priced_holes(), Ranks(workers=65, slots=1), pool=pool)
            assert np.all(run.finish_s > 0)
