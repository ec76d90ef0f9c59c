"""What a scheduling policy sees and what it answers; the same in the simulators, the router and the engine."""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import PolicyError
from shadowprice.fleet.worker import Worker


@dataclass(frozen=True)
class Requests:
    """Arrays of one length: the waiting in order of arrival, or the running in order of admission.

    arrival_s: seconds (rounds in the round model). prompt_tokens; predicted_output: forecast of all tokens it will
    make (exact when lengths are known); generated_tokens: made so far; computed_tokens: those whose KV is there now;
    priority: smaller first. tenant: code of the client, None where all are of one. deadline_s: from the arrival [s],
    infinite for who has none; None where nobody has one.
    """

    arrival_s: FloatArray
    prompt_tokens: IntArray
    predicted_output: IntArray
    generated_tokens: IntArray
    computed_tokens: IntArray
    priority: IntArray
    tenant: IntArray | None = None
    deadline_s: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.arrival_s)

    def take(self, rows: IntArray) -> "Requests":
        """Those at these places."""
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: column[rows] for name, column in columns.items() if column is not None})

    def having(self, generated_tokens: IntArray, computed_tokens: IntArray) -> "Requests":
        """The same, having made and computed so many tokens."""
        return replace(self, generated_tokens=generated_tokens, computed_tokens=computed_tokens)

    @property
    def due_s(self) -> FloatArray:
        """The moment by which the last token is asked for [s]; infinite for who has no deadline."""
        return np.full(len(self), np.inf) if self.deadline_s is None else self.arrival_s + self.deadline_s


@dataclass(frozen=True)
class TenantService:
    """What each tenant was given since the start; a tenant that is not listed was given nothing.

    tenant: codes, ascending and distinct. prompt_tokens: of its requests when they were first admitted;
    output_tokens: made so far.
    """

    tenant: IntArray
    prompt_tokens: IntArray
    output_tokens: IntArray


@dataclass(frozen=True)
class WorkerState:
    """The worker at the moment of decision: its limits, the time, and the KV tokens (in whole blocks) still free.

    served: what each tenant was given; None where requests have no tenant.
    """

    worker: Worker
    now_s: float
    free_kv_tokens: int
    served: TenantService | None = None


class Needs(NamedTuple):
    """What a policy's order depends on beside arrivals and prompts: who asks it may leave out the rest.

    lengths: `predicted_output`. priorities, deadlines, tenants: these columns, and with tenants what each was served.
    progress: tokens that a request has made or holds. every_decision: it must be asked at each, also when one request
    waits alone.
    """

    lengths: bool = False
    priorities: bool = False
    deadlines: bool = False
    tenants: bool = False
    progress: bool = False
    every_decision: bool = False


class SchedulingPolicy(Protocol):
    """A policy: which waiting requests join the batch. Any object with this one method is one.

    It may say more of itself: `needs` (Needs), `words` (how an audit's advice puts it: "serve WORDS"), `fresh()` (the
    same policy with nothing remembered) and `at_the_door(max_wait_s)` (the same for a queue before several workers,
    whose memory it does not see).
    """

    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> IntArray:
        """Indices into `waiting`, best first; those left out wait. The engine admits along it while limits last."""
        ...


def needs_of(policy: SchedulingPolicy) -> Needs:
    """What the policy says it needs; of one that says nothing: no more than arrivals and prompts.

    Raises PolicyError where its `needs` are no Needs.
    """
    needs = getattr(policy, "needs", Needs())
    if not isinstance(needs, Needs):
        raise PolicyError(f"{policy}: its needs are {needs!r}; expected a shadowprice.scheduling.Needs")
    return needs
