"""The Virtual Token Counter: whom it serves next, and what it forgets."""

import numpy as np
import pytest

from shadowprice.errors import PolicyError
from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling import POLICIES, Requests, TenantService, WorkerState, vtc
from shadowprice.simulate import simulate
from shadowprice.simulate.cluster import simulate_cluster
from shadowprice.workload import Trace

WORKER = Worker(StepTime(0.01, 0.0, 1e-7, 1e-5))


def queue(prompts: list[int], tenants: list[int] | None, arrival_s: list[float] | None = None) -> Requests:
    n = len(prompts)
    zeros = np.zeros(n, np.int64)
    return Requests(
        arrival_s=np.arange(n, dtype=float) if arrival_s is None else np.array(arrival_s),
        prompt_tokens=np.array(prompts),
        predicted_output=zeros + 10,
        generated_tokens=zeros,
        computed_tokens=zeros,
        priority=zeros,
        tenant=None if tenants is None else np.array(tenants),
    )


def served(*rows: tuple[int, int, int]) -> TenantService:
    """Of these tenants: tenant, prompt, output tokens."""
    return TenantService(*np.array(sorted(rows), dtype=np.int64).reshape(-1, 3).T)


def at(now_s: float, what: TenantService | None) -> WorkerState:
    return WorkerState(WORKER, now_s, 1000, what)


NOBODY = queue([], [])


def test_least_served_first_and_each_admission_counts_at_once() -> None:
    waiting = queue([10, 10, 10, 25, 5], [7, 7, 7, -3, -3])
    # counters: both 0, so by arrival; 7 then has 10, -3 has 25 after its first
    assert vtc().order(waiting, NOBODY, at(0, served())).tolist() == [0, 3, 1, 2, 4]
    # output tokens weigh twice: 7 has 10 + 2*8 = 26, -3 has 0 and then 25, 30
    assert vtc().order(waiting, NOBODY, at(0, served((7, 10, 8)))).tolist() == [3, 4, 0, 1, 2]
    assert vtc(w_out=0).order(waiting, NOBODY, at(0, served((7, 10, 8)))).tolist() == [3, 0, 1, 4, 2]


def test_who_returns_is_lifted_to_those_who_waited() -> None:
    policy = vtc(w_out=1)
    policy.order(queue([10] * 9, [1] * 9), NOBODY, at(0, served()))
    # 8 of 9 were admitted: the floor is 80. Tenant 2 had nothing for ages and does not get 8 turns in a row for it.
    order = policy.order(queue([10, 10, 10, 10], [1, 2, 2, 2]), NOBODY, at(1, served((1, 80, 0))))
    assert order.tolist() == [0, 1, 2, 3]
    unlifted = vtc(w_out=1).order(queue([10, 10, 10, 10], [1, 2, 2, 2]), NOBODY, at(1, served((1, 80, 0))))
    assert unlifted.tolist() == [1, 2, 3, 0]


def test_floor_outlives_an_empty_queue() -> None:
    policy = vtc(w_out=1)
    policy.order(queue([10] * 9, [1] * 9), NOBODY, at(0, served()))
    # all nine were admitted, the last of them at a counter of 80; 1 itself stands at 90
    order = policy.order(queue([5, 5, 5, 5], [1, 2, 2, 2]), NOBODY, at(9, served((1, 90, 0))))
    assert order.tolist() == [1, 2, 0, 3]


def test_requests_without_tenants_wait_in_order_of_arrival() -> None:
    assert vtc().order(queue([30, 10, 20], None), NOBODY, at(0, None)).tolist() == [0, 1, 2]
    assert vtc().order(NOBODY, NOBODY, at(0, served())).tolist() == []


def test_bound_on_waiting_comes_before_fairness() -> None:
    waiting = queue([10, 10, 10], [1, 1, 2], [0.0, 1.0, 5.0])
    known = served((1, 1000, 0))
    assert vtc().order(waiting, NOBODY, at(6, known)).tolist() == [2, 0, 1]
    assert vtc(max_wait_s=5.5).order(waiting, NOBODY, at(6, known)).tolist() == [0, 2, 1]


@pytest.mark.parametrize("wrong", [{"w_in": -1}, {"w_out": float("nan")}, {"w_in": float("inf")}, {"max_wait_s": -0.1}])
def test_impossible_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(PolicyError, match=next(iter(wrong))):
        vtc(**wrong)


def test_tenants_without_what_they_were_served_are_refused() -> None:
    with pytest.raises(PolicyError, match="expected a TenantService"):
        vtc().order(queue([1], [1]), NOBODY, at(0, None))
    backwards = TenantService(np.array([2, 1]), np.zeros(2, np.int64), np.zeros(2, np.int64))
    with pytest.raises(PolicyError, match="ascending and distinct"):
        vtc().order(queue([1], [1]), NOBODY, at(0, backwards))


@pytest.mark.parametrize("seed", range(10))
def test_a_tenant_given_nothing_need_not_be_listed(seed: int) -> None:
    """The same decisions as with all listed, whoever comes when."""
    rng = np.random.default_rng(seed)
    listed, unlisted = vtc(), vtc()
    given = np.zeros((6, 2), np.int64)
    codes = np.array([-5, 0, 3, 4, 70, 2**60])
    for _ in range(30):
        n = int(rng.integers(1, 12))
        tenants = np.sort(rng.integers(0, rng.integers(1, 7), n))
        waiting = queue(rng.integers(1, 50, n).tolist(), codes[tenants].tolist())
        some = given.any(axis=1)
        order = listed.order(waiting, NOBODY, at(0, TenantService(codes, *given.T)))
        again = unlisted.order(waiting, NOBODY, at(0, TenantService(codes[some], *given[some].T)))
        assert order.tolist() == again.tolist()
        for i in order[: rng.integers(0, n + 1)]:
            given[tenants[i], 0] += waiting.prompt_tokens[i]
        given[tenants[order[0]], 1] += rng.integers(0, 20)


@pytest.mark.parametrize("seed", range(20))
def test_forgetting_those_who_are_gone_changes_no_decision(seed: int) -> None:
    """Tenants come, go and come back; one of two equal policies forgets whom it may, again and again."""
    rng = np.random.default_rng(seed)
    remembers, forgets = vtc(), vtc()
    given = np.zeros((40, 2), np.int64)
    codes = np.arange(40)
    known = served()
    for _ in range(120):
        n = int(rng.integers(1, 12))
        first = int(rng.integers(0, 37))
        tenants = np.sort(rng.integers(first, first + 4, n))
        waiting = queue(rng.integers(1, 50, n).tolist(), tenants.tolist())
        order = remembers.order(waiting, NOBODY, at(0, TenantService(codes, *given.T)))
        assert forgets.order(waiting, NOBODY, at(0, known)).tolist() == order.tolist()
        more = np.zeros((40, 2), np.int64)
        for i in order[: rng.integers(0, n + 1)]:
            more[tenants[i], 0] += waiting.prompt_tokens[i]
        more[tenants[order[0]], 1] += rng.integers(0, 20)
        given += more
        counts = {
            int(t): (p, o) for t, p, o in zip(known.tenant, known.prompt_tokens, known.output_tokens, strict=True)
        }
        for t in np.flatnonzero(more.any(axis=1)).tolist():
            p, o = counts.get(t, (0, 0))
            counts[t] = (p + more[t, 0], o + more[t, 1])
        known = served(*((t, p, o) for t, (p, o) in counts.items()))
        if rng.random() < 0.5:
            known = forgets.forget(known, np.unique(tenants), 40)
    assert len(known.tenant) < len(np.flatnonzero(given.any(axis=1)))


def test_beyond_the_most_the_absent_with_the_smallest_counters_are_forgotten() -> None:
    policy = vtc(w_out=1)
    policy.order(queue([10], [1]), NOBODY, at(0, served()))
    given = served(*((t, 10 * t, 0) for t in range(1, 9)))
    left = policy.forget(given, np.array([2]), 4)
    assert left.tenant.tolist() == [1, 2, 7, 8]  # 1 waited last, 2 is present
    assert left.prompt_tokens.tolist() == [10, 20, 70, 80]


def test_a_flood_of_one_tenant_does_not_delay_the_other() -> None:
    """300 requests of a tenant at once, then one a second of another: fair service hardly notices the flood."""
    flood, steady = 300, 20
    trace = Trace(
        np.concatenate([np.zeros(flood), np.arange(1, steady + 1)]),
        np.full(flood + steady, 200),
        np.full(flood + steady, 50),
        tenant=np.repeat([1, 2], [flood, steady]),
    )
    worker = Worker(WORKER.step_time, max_num_seqs=4)
    second = trace.tenant == 2
    fair, first = (simulate(trace, worker, POLICIES[name]()).e2e_s[second] for name in ("vtc", "fcfs"))
    alone = simulate(trace.take(np.flatnonzero(second)), worker, POLICIES["fcfs"]()).e2e_s
    assert fair.max() < 2.1 * alone.max() < first.min()


def test_a_second_run_with_the_same_object_gives_the_same_bits() -> None:
    rng = np.random.default_rng(3)
    n = 200
    trace = Trace(
        np.sort(rng.uniform(0, 2, n)), rng.integers(1, 300, n), rng.integers(1, 50, n), tenant=rng.integers(0, 4, n)
    )
    worker = Worker(WORKER.step_time, max_num_seqs=4, kv_tokens=1600)
    policy = vtc()
    once, twice = (simulate(trace, worker, policy).finish_s for _ in range(2))
    np.testing.assert_array_equal(once, twice)
    assert not np.array_equal(once, simulate(trace, worker, POLICIES["fcfs"]()).finish_s)


def test_a_cluster_says_that_it_needs_a_compiled_policy() -> None:
    with pytest.raises(PolicyError, match="expected a Ranked policy"):
        simulate_cluster(Trace(np.zeros(1), np.ones(1), np.ones(1)), WORKER, 1, vtc(), None)  # type: ignore[arg-type]
