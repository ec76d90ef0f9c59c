"""A policy's order depends on all that it says it needs, and on nothing else that it could see."""

from dataclasses import replace

import numpy as np
import pytest

from shadowprice.errors import PolicyError
from shadowprice.fleet import StepTime, Worker
from shadowprice.scheduling import POLICIES, Needs, Requests, TenantService, WorkerState
from shadowprice.scheduling.surface import needs_of

WORKER = Worker(StepTime(0.01, 1e-5, 4e-8, 2e-5))
TIGHT = replace(WORKER, kv_tokens=2000)  # where gates that look at lengths refuse some
NOBODY = Requests(np.zeros(0), *[np.zeros(0, np.int64)] * 5)
SERVED = TenantService(np.arange(3), 10 * np.arange(3), np.zeros(3, int))
COLUMNS = {  # what a policy may look at, by the need that says so
    "lengths": ("predicted_output",),
    "priorities": ("priority",),
    "deadlines": ("deadline_s",),
    "tenants": ("tenant",),
    "progress": ("generated_tokens", "computed_tokens"),
}


def waiting(rng: np.random.Generator, n: int = 12) -> Requests:
    """Requests of which many are alike but in the columns above."""
    return Requests(
        arrival_s=np.sort(rng.choice([1.0, 2.0, 3.0], n)),
        prompt_tokens=rng.choice([100, 500], n),
        predicted_output=rng.integers(1, 400, n),
        generated_tokens=rng.choice([0, 0, 40, 300], n),
        computed_tokens=rng.choice([0, 0, 500], n),
        priority=rng.integers(0, 5, n),
        tenant=rng.integers(0, 3, n),
        deadline_s=rng.choice([1.0, 30.0, np.inf], n),
    )


def depends_on(name: str, columns: tuple[str, ...], worker: Worker) -> bool:
    """Whether some order changes when these columns are dealt out anew."""
    rng, state = np.random.default_rng(1), WorkerState(worker, 100.0, worker.kv_tokens, SERVED)
    for _ in range(60):
        one, other = waiting(rng), waiting(rng)
        mixed = replace(one, **{column: getattr(other, column) for column in columns})
        orders = [POLICIES[name]().order(requests, NOBODY, state).tolist() for requests in (one, mixed)]
        if orders[0] != orders[1]:
            return True
    return False


@pytest.mark.parametrize("need", COLUMNS)
@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_needs_what_it_says_and_nothing_else(name: str, need: str) -> None:
    worker = TIGHT if need == "lengths" else WORKER
    assert depends_on(name, COLUMNS[need], worker) == getattr(needs_of(POLICIES[name]()), need)


def test_who_says_nothing_needs_nothing_and_nonsense_is_refused() -> None:
    class Plain:
        def order(self, waiting, running, state):
            return np.arange(len(waiting))

    assert needs_of(Plain()) == Needs()
    nonsense = Plain()
    nonsense.needs = {"lengths"}
    with pytest.raises(PolicyError, match=r"its needs are \{'lengths'\}; expected a shadowprice.scheduling.Needs"):
        needs_of(nonsense)
