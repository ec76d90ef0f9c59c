"""What the processes of one router tell each other, through a pipe between the first one and each of the others."""

from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from shadowprice.router.fleet.worker import Counts, Step
from shadowprice.router.processes.decision_lock import DecisionLock
from shadowprice.router.record.finished import FinishedRequest
from shadowprice.router.record.statistics import Told

Files = dict[str, dict[str, Any] | None]  # what was written to the record and to the access log


@dataclass(frozen=True)
class Followed:
    """A worker as the first process has it, to be routed to. serial: as in `fleet/in_flight.py`."""

    url: str
    rank: int | None
    ranks: int
    serial: int


@dataclass(frozen=True)
class Drain:
    """Give this worker nothing more."""

    serial: int


@dataclass(frozen=True)
class Forget:
    """This worker is removed."""

    serial: int


@dataclass(frozen=True)
class UsePolicy:
    """Another routing policy."""

    name: str


@dataclass(frozen=True)
class End:
    """Finish what there is and end, or end at once."""

    at_once: bool


Change = Followed | Drain | Forget | UsePolicy
Message = Change | End  # of the first process


class Joining(NamedTuple):
    """What another process starts with: the pipe to the first one, and what that routes to and how."""

    connection: Connection
    followed: tuple[Followed, ...]
    policy: str
    lock: DecisionLock


class Done(NamedTuple):
    """What a worker did for a process in its last second."""

    counts: Counts
    steps: list[Step]


class Report(NamedTuple):
    """What a process tells of its last second.

    waiting: requests, their prompt tokens, longest wait [s]. decides: by what it routes. workers: by serial.
    """

    pid: int
    in_flight: int
    waiting: tuple[int, int, float]
    decides: str
    statistics: Told
    workers: dict[int, Done]
    finished: list[FinishedRequest]
    files: Files
