"""The order of the router's queue, by a policy of `scheduling/`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from shadowprice.errors import PolicyError
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.policies import POLICIES, Gate, Ranked
from shadowprice.scheduling.surface import Requests, WorkerState

PRIOR_OUTPUT, MEMORY = 256.0, 0.01  # tokens; weight of a new output in the mean


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


W = TypeVar("W", bound=Waiting)


class QueueOrder:
    """Orders what waits. The gate of a policy (memory) is left to the dispatcher's caps, its aging is kept."""

    def __init__(self, name: str, max_wait_s: float) -> None:
        if name not in POLICIES:
            raise PolicyError(f"--scheduling-policy is {name!r}; expected one of {', '.join(POLICIES)}")
        policy = POLICIES[name]()
        if isinstance(policy, Ranked):
            policy = replace(policy, gate=Gate.OPTIMISTIC, max_wait_s=max_wait_s)
        self.name = name
        self.policy = policy
        self.in_order_of_arrival = name == "fcfs"
        self.mean_output = PRIOR_OUTPUT

    def note_output(self, tokens: int) -> None:
        """A request ended after so many tokens: the forecast of the others follows."""
        self.mean_output += MEMORY * (tokens - self.mean_output)

    def ordered(self, waiting: Sequence[W], model: Worker, now_s: float) -> list[W]:
        """All of the waiting, best first."""
        n = len(waiting)
        zeros = np.zeros(n, np.int64)
        requests = Requests(
            arrival_s=np.array([request.arrival_s for request in waiting]),
            prompt_tokens=np.array([request.prompt_tokens for request in waiting], np.int64),
            predicted_output=np.full(n, max(round(self.mean_output), 1), np.int64),
            generated_tokens=zeros,
            kv_tokens=zeros,
            priority=np.array([request.priority for request in waiting], np.int64),
        )
        empty = np.zeros(0, np.int64)
        none = Requests(np.zeros(0), empty, empty, empty, empty, empty)
        first = self.policy.order(requests, none, WorkerState(model, now_s, model.kv_tokens)).tolist()
        return [waiting[i] for i in first]
