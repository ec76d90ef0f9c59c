"""What a routing policy sees and what it answers; the same in the simulators and the live router."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pending:
    """Requests to be routed, oldest first: arrays of one length; session is -1 where a request has none."""

    arrival_s: FloatArray
    prompt_tokens: IntArray
    session: IntArray

    def __len__(self) -> int:
        return len(self.arrival_s)


@dataclass(frozen=True)
class Workers:
    """Arrays of one length, one entry per worker.

    kv_tokens: held by the running; running, waiting: requests; waiting_tokens: context tokens of the waiting; slots:
    most requests running at once.
    """

    kv_tokens: IntArray
    running: IntArray
    waiting: IntArray
    waiting_tokens: IntArray
    slots: IntArray

    def __len__(self) -> int:
        return len(self.kv_tokens)


class RoutingPolicy(Protocol):
    """A policy: which worker gets a request. Any object with this one method is one."""

    def assign(self, pending: Pending, workers: Workers, now_s: float) -> IntArray:
        """The worker of each pending request, -1 to keep it in the central queue."""
        ...
