"""What a scheduling policy sees and what it answers; the same in the simulators, the router and the engine."""

from dataclasses import dataclass
from typing import Protocol

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.fleet.worker import Worker


@dataclass(frozen=True)
class Requests:
    """Arrays of one length: the waiting in order of arrival, or the running in order of admission.

    arrival_s: seconds (rounds in the round model). prompt_tokens; predicted_output: forecast of all tokens it will
    make (exact when lengths are known); generated_tokens: made so far; kv_tokens: held now; priority: smaller first.
    tenant: code of the client, None where all are of one.
    """

    arrival_s: FloatArray
    prompt_tokens: IntArray
    predicted_output: IntArray
    generated_tokens: IntArray
    kv_tokens: IntArray
    priority: IntArray
    tenant: IntArray | None = None

    def __len__(self) -> int:
        return len(self.arrival_s)


@dataclass(frozen=True)
class Served:
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
    served: Served | None = None


class SchedulingPolicy(Protocol):
    """A policy: which waiting requests join the batch. Any object with this one method is one."""

    def order(self, waiting: Requests, running: Requests, state: WorkerState) -> IntArray:
        """Indices into `waiting`, best first; those left out wait. The engine admits along it while limits last."""
        ...
