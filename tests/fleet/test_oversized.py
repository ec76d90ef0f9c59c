"""A request larger than a worker is refused in one wording, whoever asks, and can be left out."""

from collections.abc import Callable

import numpy as np
import pytest

from shadowprice.audit import make_case
from shadowprice.disaggregation.problem import Slo
from shadowprice.errors import InfeasibleError
from shadowprice.fleet import Fleet, StepTime, Worker
from shadowprice.fleet.oversized import drop_oversized, oversized
from shadowprice.plan import PoolsOptions, Targets, plan, plan_pools
from shadowprice.scheduling.policies import fcfs
from shadowprice.simulate import simulate
from shadowprice.workload import Trace

WORKER = Worker(StepTime(0.01, 0.0, 0.0, 0.0), kv_tokens=512)
FLEET = Fleet("small", WORKER)
TRACE = Trace(np.arange(4.0), np.array([10, 500, 10, 600]), np.array([5, 13, 5, 14]), name="big")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: make_case(TRACE, FLEET),
        lambda: simulate(TRACE, WORKER, fcfs()),
        lambda: plan(TRACE, FLEET, Targets(ttft_s=1.0)),
        lambda: plan_pools(TRACE, FLEET, Slo(1.0, 1.0), PoolsOptions(2)),
    ],
    ids=["audit", "simulate", "plan", "pools"],
)
def test_it_is_refused_in_one_wording(ask: Callable[[], object]) -> None:
    wording = (
        r"big: 1 of 4 requests need more KV tokens than a worker( of small)? has \(512\); the first is request 3 "
        r"\(613\), the largest needs 613 KV tokens\. Take a fleet with more KV memory, or leave them out"
    )
    with pytest.raises(InfeasibleError, match=wording):
        ask()


def test_it_is_left_out_and_noted() -> None:
    assert oversized(TRACE, WORKER).tolist() == [False, False, False, True]  # 500 + 13 - 1 is what there is
    kept, dropped = drop_oversized(TRACE, WORKER)
    assert (len(kept), dropped) == (3, 1)
    assert kept.notes == ("1 of 4 requests dropped: larger than the 512 KV tokens of a worker",)
