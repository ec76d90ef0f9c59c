"""Tries to break the least cost of mixed kinds: below every fleet that is stable, exactly the program's optimum."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from shadowprice.capacity.mix import TOLERANCE, cheapest_mix
from shadowprice.capacity.stability import stability
from shadowprice.errors import InfeasibleError
from shadowprice.fleet import StepTime, Worker, read_fleet
from shadowprice.fleet.work import work
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate import simulate
from shadowprice.workload import PRESETS, Trace

H100, L40S = (read_fleet(f"llama-3.1-8b-{gpu}").worker for gpu in ("h100", "l40s"))


def needs_of(trace: Trace, kinds: list[Worker]) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Busy workers asked by each request of each kind and resource, [n, kinds, 3]; and which kinds hold it."""
    needs = []
    for worker in kinds:
        found = work(trace.prompt_tokens, trace.output_tokens, worker, trace.cached_tokens)
        needs.append((found.own_s + found.fixed_s * found.use).T * trace.rate_per_s / len(trace))
    peak = trace.prompt_tokens + trace.output_tokens - 1
    holds = np.stack([peak <= worker.kv_blocks * worker.block_size for worker in kinds], axis=1)
    return np.stack(needs, axis=1), holds


def is_stable(needs: np.ndarray, holds: np.ndarray, workers: tuple[int, ...]) -> bool:  # type: ignore[type-arg]
    """Whether shares of single requests exist that these workers can carry: the program itself, through HiGHS."""
    n, kinds, resources = needs.shape
    rows = np.zeros((kinds * resources, n * kinds))
    for t, r in itertools.product(range(kinds), range(resources)):
        rows[t * resources + r, t::kinds] = needs[:, t, r]
    found = linprog(
        np.zeros(n * kinds),
        A_ub=rows,
        b_ub=np.repeat(np.array(workers, float), resources) + 1e-7,
        A_eq=np.kron(np.eye(n), np.ones(kinds)),
        b_eq=np.ones(n),
        bounds=[(0, float(ok and workers[t] > 0)) for row in holds for t, ok in enumerate(row)],
    )
    return found.status == 0


def some_case(rng: np.random.Generator) -> tuple[Trace, list[Worker], list[float]]:
    """Up to eight requests and three kinds; memory for all of them or for some, loads of up to a few workers."""
    n, kinds = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    prompt, output = rng.integers(1, 60, n), rng.integers(1, 20, n)
    if rng.random() < 0.3:
        prompt[:], output[:] = prompt[0], output[0]
    workers = []
    for t in range(kinds):
        time = StepTime(10.0 ** rng.uniform(-2, 0), *(10.0 ** rng.uniform(-4, -1, 3) * (rng.random(3) < 0.7)))
        least = int((prompt + output).max()) if t == 0 else 20  # the first kind holds all of them
        workers.append(
            Worker(time, int(rng.integers(1, 9)), int(rng.integers(20, 90)), int(rng.integers(least, 200)), 1)
        )
    span = float(rng.choice([0.5, 1, 3])) * n * work(prompt, output, workers[0]).charge_s([1, 0, 0]).mean()
    return Trace(np.linspace(0, span, n), prompt, output), workers, rng.uniform(0.3, 4, kinds).round(2).tolist()


@given(seed=st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_the_mix_is_the_cheapest_of_all_numbers_of_workers_that_have_stable_shares(seed: int) -> None:
    trace, kinds, prices = some_case(np.random.default_rng(seed))
    mix = cheapest_mix(trace, kinds, prices)
    needs, holds = needs_of(trace, kinds)
    most = [range(int(np.ceil((needs[:, t] * holds[:, [t]]).sum(axis=0).max())) + 2) for t in range(len(kinds))]
    for workers in sorted(itertools.product(*most), key=lambda w: float(np.dot(w, prices))):
        if np.dot(workers, prices) > mix.cost_per_hour - 1e-9:
            break
        assert not is_stable(needs, holds, workers), workers
    assert is_stable(needs, holds, tuple(mix.workers + 0))
    assert mix.bound == pytest.approx(mix.cost_per_hour)
    # the shares are those of such an assignment
    assert np.all(mix.shares[~holds] == 0) and np.allclose(mix.shares.sum(axis=1), 1)
    load = np.einsum("it,itr->tr", mix.shares, needs)
    assert np.all(load <= mix.workers[:, None] + 2 * TOLERANCE)


def test_equal_requests_split_between_kinds_at_any_share() -> None:
    """1 request/s; kinds of 0.337/s for 1.6 and 0.667/s for 2.0: one of each carries it at a share of 0.336."""
    slow, fast = (Worker(StepTime(1 / rate, 0, 0, 0), 1, 8192, 64) for rate in (0.337, 0.667))
    trace = Trace(np.arange(1000.0), np.full(1000, 10), np.ones(1000, np.int64))
    mix = cheapest_mix(trace, [slow, fast], [1.6, 2.0])
    assert mix.workers.tolist() == [1, 1] and mix.bound == pytest.approx(3.6)
    # served so, nobody waits long: the fleet below which the bound says that there is none is stable indeed
    to_slow = np.floor(np.arange(1, 1001) * 0.336) > np.floor(np.arange(1000) * 0.336)
    for worker, rows in ((slow, to_slow), (fast, ~to_slow)):
        assert simulate(trace.take(np.flatnonzero(rows)), worker, fcfs()).e2e_s.max() < 8


def test_a_request_goes_where_it_fits_and_does_not_bar_others_of_its_kind() -> None:
    long = PRESETS["mooncake-conversation-like"](np.random.default_rng(0), requests=300, rate_per_s=50.0)
    small = Worker(L40S.step_time, kv_tokens=4096)
    mix = cheapest_mix(long, [H100, small], [2.5, 0.01])
    peak = long.prompt_tokens + long.output_tokens - 1
    assert np.all(mix.shares[peak > 4096, 1] == 0)
    assert mix.workers[1] > 0 and mix.shares[peak <= 4096, 1].mean() > 0.2
    with pytest.raises(InfeasibleError, match="a worker of any kind"):
        cheapest_mix(long, [small], [1.0])


def test_the_only_request_that_a_kind_holds_still_takes_a_worker_of_it() -> None:
    """Its load is a thousandth of what the arithmetic would forgive."""
    prompt = np.full(100, 10)
    prompt[3] = 500
    trace = Trace(np.arange(100) * 1e6, prompt, np.ones(100, np.int64))
    big, small = (Worker(StepTime(1e-3, 0, 0, 0), kv_tokens=tokens) for tokens in (512, 64))
    assert cheapest_mix(trace, [big, small], [5.0, 1.0]).workers.tolist() == [1, 0]


def test_one_kind_needs_what_the_closed_form_says_also_at_a_load_exactly_whole() -> None:
    chat = PRESETS["azure-conv-like"](np.random.default_rng(0), requests=2000, rate_per_s=70.0)
    mix = cheapest_mix(chat, [H100], [2.5])
    assert mix.workers[0] == stability(chat, H100).least_workers == 3
    assert mix.cost_per_hour == pytest.approx(7.5) and mix.bound <= mix.cost_per_hour
    second = Worker(StepTime(1.0, 0, 0, 0), max_num_seqs=1)
    for load in (1, 2, 3):
        evenly = Trace(np.arange(60) / load, np.full(60, 10), np.ones(60, np.int64))
        assert cheapest_mix(evenly, [second], [1.0]).workers[0] == stability(evenly, second).least_workers == load
    one = simulate(Trace(np.arange(5000.0), np.full(5000, 10), np.ones(5000, np.int64)), second, fcfs())
    assert one.e2e_s.max() == 1.0


def test_smaller_loads_take_more_workers() -> None:
    chat = PRESETS["azure-conv-like"](np.random.default_rng(0), requests=2000, rate_per_s=100.0)
    full, room = (cheapest_mix(chat, [H100, L40S], [2.5, 0.8], load) for load in (None, [0.5, 0.4]))
    assert room.cost_per_hour > 1.5 * full.cost_per_hour
