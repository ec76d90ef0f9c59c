"""Mixed kinds: the program against exhaustive search, and the mix against single kinds."""

import itertools

import numpy as np
import pytest

from shadowprice.capacity.mix import UNITS, cheapest_mix, classes
from shadowprice.capacity.stability import stability
from shadowprice.errors import FleetError, InfeasibleError
from shadowprice.fleet import Fleet, read_fleet
from shadowprice.fleet.work import work
from shadowprice.plan.mixture import plan_mixture
from shadowprice.plan.sizing.plan import with_price
from shadowprice.plan.targets import Targets
from shadowprice.scheduling.policies import fcfs
from shadowprice.workload import PRESETS, Trace, merge, scale_rate
from tests.plan.plan_cases import chat

H100 = with_price(read_fleet("llama-3.1-8b-h100"), 2.5)
L40S = with_price(read_fleet("llama-3.1-8b-l40s"), 0.8)


def test_one_kind_needs_what_the_closed_form_says() -> None:
    trace = chat()
    needed = stability(trace, H100.worker).load_per_worker
    mix = cheapest_mix(trace, [H100.worker], [2.5])
    assert needed is not None
    # (n - 1) / span and n / span are the two ways to count a rate
    assert mix.workers[0] == int(np.ceil(needed * len(trace) / (len(trace) - 1)))
    assert mix.cost_per_hour == pytest.approx(2.5 * mix.workers[0]) and mix.bound <= mix.cost_per_hour


@pytest.mark.parametrize("seed", range(6))
def test_the_mix_costs_no_more_than_any_other_that_is_stable(seed: int) -> None:
    """All numbers of workers up to a size, each with the best shares of two classes, by going through all of them."""
    rng = np.random.default_rng(seed)
    half = np.arange(200) % 2 == 0
    trace = Trace(
        np.sort(rng.uniform(0, 10, 200)),
        np.where(half, rng.integers(20, 60, 200), rng.integers(2000, 4000, 200)),
        np.where(half, rng.integers(200, 300, 200), rng.integers(5, 20, 200)),
    )
    prices = [float(rng.uniform(1, 4)), float(rng.uniform(0.3, 1.5))]
    kinds = [H100.worker, L40S.worker]
    mix = cheapest_mix(trace, kinds, prices)
    of = classes(trace)
    needs = []
    for worker in kinds:
        found = work(trace.prompt_tokens, trace.output_tokens, worker)
        charge_s = found.own_s + found.fixed_s * found.use
        needs.append(np.stack([np.bincount(of, weights=row) for row in charge_s]) / trace.span_s)
    first = needs[0] @ mix.shares[:, 0], needs[1] @ mix.shares[:, 1]
    assert all((part <= n + 1e-9).all() for part, n in zip(first, mix.workers, strict=True))  # it is stable
    if of.max() <= 3:  # few classes: go through shares in tenths
        cheapest = np.inf
        steps = np.arange(0, UNITS + 1, 2) / UNITS
        for shares in itertools.product(steps, repeat=int(of.max()) + 1):
            x = np.array(shares)
            sizes = [np.ceil((needs[0] @ x).max() - 1e-9), np.ceil((needs[1] @ (1 - x)).max() - 1e-9)]
            cheapest = min(cheapest, float(np.dot(sizes, prices)))
        assert mix.cost_per_hour <= cheapest + 1e-9


def test_a_kind_that_cannot_hold_a_class_does_not_get_it() -> None:
    long = PRESETS["mooncake-conversation-like"](np.random.default_rng(0), requests=300)
    small = Fleet("small", type(L40S.worker)(L40S.worker.step_time, kv_tokens=4096))
    mix = cheapest_mix(long, [H100.worker, small.worker], [2.5, 0.01])
    peak = long.prompt_tokens + long.output_tokens - 1
    for b in np.flatnonzero(mix.shares[:, 1] > 0):
        assert peak[classes(long) == b].max() <= 4096
    with pytest.raises(InfeasibleError, match="a worker of any kind"):
        cheapest_mix(long, [small.worker], [1.0])


def test_a_mix_is_simulated_and_never_dearer_than_the_best_single_kind() -> None:
    code = PRESETS["azure-code-like"](np.random.default_rng(0), requests=2000, rate_per_s=20.0)
    both = merge([chat(2000, 20.0), scale_rate(code, 20.0 / code.rate_per_s)])
    found = plan_mixture(both, [H100, L40S], Targets(2.0, 0.1), fcfs())
    singles = [one.usd_per_hour for one in found.alone.values() if one is not None and one.meets]
    assert found.answered and found.mix.usd_per_hour <= min(singles)
    assert found.bound_usd_per_hour <= found.mix.usd_per_hour
    assert found.to_json()["mix"]["workers"].keys() <= {H100.name, L40S.name}


def test_kinds_without_a_price_or_with_one_name_are_refused() -> None:
    with pytest.raises(FleetError, match="usd_per_hour under"):
        plan_mixture(chat(200), [H100, read_fleet("llama-3.1-8b-l40s")], Targets(2.0), fcfs())
    with pytest.raises(FleetError, match="one name"):
        plan_mixture(chat(200), [H100, H100], Targets(2.0), fcfs())
