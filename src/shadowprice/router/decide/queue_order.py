"""The order of the router's queue, by a policy of `scheduling/`."""

from collections.abc import Sequence
from math import inf
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.errors import PolicyError
from shadowprice.fleet.names import did_you_mean
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.policies import POLICIES
from shadowprice.scheduling.surface import Requests, SchedulingPolicy, TenantService, WorkerState, needs_of

PRIOR_OUTPUT, MEMORY = 256.0, 0.01  # tokens; weight of a new output in the mean
TENANTS = 1024  # remembered, beside those that wait or run


class Waiting(Protocol):
    """What the order looks at."""

    @property
    def arrival_s(self) -> float: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def tenant(self) -> int: ...
    @property
    def priority(self) -> int: ...
    @property
    def deadline_s(self) -> float: ...


W = TypeVar("W", bound=Waiting)


@runtime_checkable
class AtTheDoor(Protocol):
    """A policy that has a form for a queue before several workers."""

    def at_the_door(self, max_wait_s: float) -> SchedulingPolicy: ...


@runtime_checkable
class Forgets(Protocol):
    """A policy that can do without some tenants."""

    def forget(self, served: TenantService, present: IntArray, most: int) -> TenantService: ...


class QueueOrder:
    """Orders what waits. The gate of a policy (memory) is left to the dispatcher's caps, its aging is kept."""

    def __init__(self, name: str, max_wait_s: float) -> None:
        if name not in POLICIES:
            raise PolicyError(f"--scheduling-policy is {name!r}; {did_you_mean(name, POLICIES)}")
        policy = POLICIES[name]()
        self.name = name
        self.policy: SchedulingPolicy = policy.at_the_door(max_wait_s) if isinstance(policy, AtTheDoor) else policy
        needs = needs_of(self.policy)
        self.in_order_of_arrival: bool = getattr(self.policy, "in_arrival_order", False)
        self.by_priority = needs.priorities
        self.by_deadline = needs.deadlines
        self.by_tenant = needs.tenants
        self.every_decision = needs.every_decision
        if self.by_tenant and not isinstance(self.policy, Forgets):
            raise PolicyError(
                f"--scheduling-policy {name}: it needs what each tenant was served, and a router must forget "
                "some; expected a method forget(served, present, most)"
            )
        self.mean_output = PRIOR_OUTPUT
        self._tenants = np.zeros(0, np.int64)  # ascending
        self._given = np.zeros((2, 0), np.int64)  # prompt and output tokens of each

    def note_start(self, request: Waiting) -> None:
        """It is no longer waiting."""
        if self.by_tenant:
            self._give(request.tenant, 0, request.prompt_tokens)

    def note_end(self, request: Waiting, output_tokens: int) -> None:
        """It made so many tokens: what its tenant was given, and the forecast for others, follow."""
        self.mean_output += MEMORY * (output_tokens - self.mean_output)
        if self.by_tenant:
            self._give(request.tenant, 1, output_tokens)

    def _give(self, tenant: int, which: int, tokens: int) -> None:
        place = int(np.searchsorted(self._tenants, tenant))
        if place == len(self._tenants) or self._tenants[place] != tenant:
            self._tenants = np.insert(self._tenants, place, tenant)
            self._given = np.insert(self._given, place, 0, axis=1)
        self._given[which, place] += tokens

    @property
    def crowded(self) -> bool:
        """Are there so many tenants that it is time to `forget`."""
        return len(self._tenants) > 2 * TENANTS

    def forget(self, present: set[int]) -> None:
        """Forget the tenants that matter least to the order; present: those that wait or run."""
        assert isinstance(self.policy, Forgets)
        served = TenantService(self._tenants, *self._given)
        left = self.policy.forget(served, np.array(sorted(present), np.int64), TENANTS)
        self._tenants, self._given = left.tenant, np.array([left.prompt_tokens, left.output_tokens])

    def ordered(self, waiting: Sequence[W], model: Worker, now_s: float) -> list[W]:
        """All of the waiting, best first."""
        n = len(waiting)
        zeros = np.zeros(n, np.int64)
        requests = Requests(
            arrival_s=np.array([request.arrival_s for request in waiting]),
            prompt_tokens=np.array([request.prompt_tokens for request in waiting], np.int64),
            predicted_output=np.full(n, max(round(self.mean_output), 1), np.int64),
            generated_tokens=zeros,
            computed_tokens=zeros,
            priority=np.array([request.priority for request in waiting], np.int64),
            tenant=np.array([request.tenant for request in waiting], np.int64) if self.by_tenant else None,
            deadline_s=np.array([request.deadline_s or inf for request in waiting]) if self.by_deadline else None,
        )
        empty = np.zeros(0, np.int64)
        none = Requests(np.zeros(0), empty, empty, empty, empty, empty)
        served = TenantService(self._tenants, *self._given) if self.by_tenant else None
        first = self.policy.order(requests, none, WorkerState(model, now_s, model.kv_tokens, served)).tolist()
        return [waiting[i] for i in first]
