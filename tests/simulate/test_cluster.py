"""The cluster simulator: engines side by side or in lockstep, fed by any routing policy."""

from dataclasses import replace

import numpy as np
import pytest

from shadowprice.errors import InfeasibleError, PolicyError
from shadowprice.fleet import StepTime, Worker
from shadowprice.routing.policies import POLICIES as ROUTING
from shadowprice.scheduling import POLICIES
from shadowprice.simulate import simulate
from shadowprice.simulate.cluster import ClusterRun, simulate_cluster
from shadowprice.workload import Ragged, Trace

STEP = StepTime(6e-3, 1e-5, 4e-8, 2e-5)


class Fixed:
    """Routes request i, in order of arrival, to choice[i]."""

    def __init__(self, choice):
        self.choice, self.next = np.asarray(choice), 0

    def assign(self, pending, workers, now_s):
        start, self.next = self.next, self.next + len(pending)
        return self.choice[start : self.next]


class FreeSlots:
    """From a central queue, the oldest to the worker with most free slots."""

    def __init__(self):
        self.most_running = 0

    def assign(self, pending, workers, now_s):
        free = workers.slots - workers.running - workers.waiting
        answer = np.full(len(pending), -1)
        for i in range(len(pending)):
            if free.max() > 0:
                answer[i] = np.argmax(free)
                free[answer[i]] -= 1
        assert np.all(free >= 0)
        return answer


def workload(seed: int, n: int = 150) -> tuple[Trace, Worker]:
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(0.02, n) * (rng.random(n) < 0.7)
    trace = Trace(np.cumsum(gaps), rng.integers(1, 200, n), rng.integers(1, 80, n))
    worker = Worker(
        STEP,
        max_num_seqs=int(rng.choice([2, 6])),
        max_num_batched_tokens=int(rng.choice([40, 4000])),
        kv_tokens=int(rng.choice([320, 3000])),
        async_scheduling=bool(rng.random() < 0.5),
    )
    return trace, worker


def same(run: ClusterRun, rows, alone) -> None:
    for field in ("scheduled_s", "first_token_s", "finish_s", "preemptions"):
        np.testing.assert_array_equal(getattr(run.served, field)[rows], getattr(alone, field), err_msg=field)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["fcfs", "priced_work", "priority"])
def test_replicas_serve_their_share_as_engines_of_their_own(seed: int, name: str) -> None:
    trace, worker = workload(seed)
    choice = np.random.default_rng(seed).integers(0, 3, len(trace))
    run = simulate_cluster(trace, worker, 3, POLICIES[name](), Fixed(choice))
    np.testing.assert_array_equal(run.worker, choice)
    for g in range(3):
        rows = np.flatnonzero(choice == g)
        same(run, rows, simulate(trace.take(rows), worker, POLICIES[name]()))
    assert run.idle_share == 0


@pytest.mark.parametrize("seed", range(8))
def test_one_rank_in_lockstep_is_one_engine(seed: int) -> None:
    trace, worker = workload(seed)
    run = simulate_cluster(trace, worker, 1, POLICIES["fcfs"](), Fixed(np.zeros(len(trace), int)), lockstep=True)
    same(run, slice(None), simulate(trace, worker, POLICIES["fcfs"]()))
    assert run.idle_share == pytest.approx(0)


@pytest.mark.parametrize("seed", range(8))
def test_ranks_with_equal_shares_wait_for_nobody(seed: int) -> None:
    trace, worker = workload(seed, 60)
    twice = trace.take(np.repeat(np.arange(len(trace)), 2))
    run = simulate_cluster(twice, worker, 2, POLICIES["fcfs"](), Fixed(np.tile([0, 1], len(trace))), lockstep=True)
    same(run, slice(0, None, 2), simulate(trace, worker, POLICIES["fcfs"]()))
    assert run.idle_share == pytest.approx(0)


@pytest.mark.parametrize("seed", range(6))
def test_lockstep_is_never_faster_than_replicas_and_says_how_much_it_waits(seed: int) -> None:
    trace, worker = workload(seed)
    choice = np.random.default_rng(seed).integers(0, 4, len(trace))
    apart = simulate_cluster(trace, worker, 4, POLICIES["fcfs"](), Fixed(choice))
    together = simulate_cluster(trace, worker, 4, POLICIES["fcfs"](), Fixed(choice), lockstep=True)
    assert together.elapsed_s >= apart.elapsed_s * (1 - 1e-9)
    assert 0 < together.idle_share < 1
    assert together.own_s.sum() <= together.served.busy_s


def test_a_lockstep_step_lasts_as_long_as_the_slowest_rank_s() -> None:
    trace = Trace(np.zeros(2), np.array([1000, 10]), np.array([2, 2]))
    run = simulate_cluster(trace, Worker(STEP), 2, POLICIES["fcfs"](), Fixed([0, 1]), lockstep=True)
    assert run.served.first_token_s.tolist() == pytest.approx([STEP.seconds(0, 0, 1000)] * 2)
    assert run.served.finish_s[1] == pytest.approx(STEP.seconds(0, 0, 1000) + STEP.seconds(1, 1001, 0))
    assert run.own_s[1] == pytest.approx(STEP.seconds(0, 0, 10) + STEP.seconds(1, 11, 0))


@pytest.mark.parametrize("lockstep", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_a_central_queue_fills_no_worker_beyond_its_slots(seed: int, lockstep: bool) -> None:
    trace, worker = workload(seed)
    run = simulate_cluster(trace, worker, 3, POLICIES["fcfs"](), FreeSlots(), lockstep=lockstep, central_queue=True)
    assert np.all(run.served.finish_s >= trace.arrival_s)
    assert run.worker.min() >= 0
    for engine in run.engines:
        assert engine.series.running.max() <= worker.max_num_seqs


@pytest.mark.parametrize("name", ROUTING)
@pytest.mark.parametrize("seed", range(4))
def test_a_built_in_router_decides_the_same_asked_through_arrays(seed: int, name: str) -> None:
    trace, worker = workload(seed)
    rng = np.random.default_rng(seed)
    blocks = Ragged.from_lengths(rng.integers(0, 9, 4 * len(trace)), np.full(len(trace), 4))
    trace = replace(trace, session=rng.integers(-1, 9, len(trace)), prefix=blocks, prefix_block_tokens=8)
    for lockstep in (False, True):
        compiled, asked = (
            simulate_cluster(trace, worker, 3, POLICIES["fcfs"](), policy, lockstep=lockstep)
            for policy in (ROUTING[name](), ROUTING[name]().interpreted())
        )
        np.testing.assert_array_equal(compiled.worker, asked.worker)
        np.testing.assert_array_equal(compiled.served.finish_s, asked.served.finish_s)


def test_energy_is_idle_power_plus_the_rest_while_working() -> None:
    trace, worker = workload(1)
    run = simulate_cluster(trace, worker, 2, POLICIES["fcfs"](), Fixed(np.arange(len(trace)) % 2))
    own_s = run.own_s.sum()
    assert run.energy_j(100, 700) == pytest.approx(100 * 2 * run.elapsed_s + 600 * own_s)
    assert run.throughput_tok_s == pytest.approx(trace.output_tokens.sum() / run.elapsed_s)


@pytest.mark.parametrize("answer", [[5], [-1], [0, 0], [0.5]])
def test_impossible_answers_of_a_router_are_refused(answer: list) -> None:
    class Wrong:
        def assign(self, pending, workers, now_s):
            return answer

    trace = Trace(np.zeros(1), np.array([1]), np.array([1]))
    with pytest.raises(PolicyError, match="assign returned"):
        simulate_cluster(trace, Worker(STEP), 2, POLICIES["fcfs"](), Wrong())


def test_a_router_that_never_assigns_and_bad_sizes_are_refused() -> None:
    class Never:
        def assign(self, pending, workers, now_s):
            return np.full(len(pending), -1)

    trace = Trace(np.zeros(1), np.array([10]), np.array([1]))
    with pytest.raises(PolicyError, match="wait for ever"):
        simulate_cluster(trace, Worker(STEP), 2, POLICIES["fcfs"](), Never(), central_queue=True)
    with pytest.raises(PolicyError, match="workers is 0"):
        simulate_cluster(trace, Worker(STEP), 0, POLICIES["fcfs"](), Never())
    with pytest.raises(InfeasibleError):
        simulate_cluster(trace, Worker(STEP, kv_tokens=2, block_size=1), 2, POLICIES["fcfs"](), Never())


def test_an_empty_trace_takes_no_time() -> None:
    nothing = np.zeros(0, np.int64)
    empty = Trace(np.zeros(0), nothing, nothing)
    for central in (False, True):
        run = simulate_cluster(empty, Worker(STEP), 2, POLICIES["fcfs"](), FreeSlots(), central_queue=central)
        assert run.elapsed_s == 0
