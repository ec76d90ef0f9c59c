"""What a routing policy sees and what it answers; the same in the simulators and the live router.

msgspec's structs, since a live router makes some for each decision: a frozen dataclass takes five times as long.
"""

from typing import NamedTuple, Protocol

import msgspec

from shadowprice.arrays import BoolArray, FloatArray, IntArray
from shadowprice.workload.trace import Ragged


class Pending(msgspec.Struct, frozen=True, gc=False):
    """Requests to be routed, oldest first: arrays of one length; session is -1 where a request has none.

    passes: younger requests assigned while this one waited (0 where None). prefix: hashes of the prompt's leading
    blocks of prefix_block_tokens tokens. predicted_output: forecast of all tokens it will make, for policies that use
    one. may_wait: these wait in a central queue: no worker may get more of them than it has free slots, and -1 keeps
    one waiting; else each must be given a worker, which queues what it cannot run.
    """

    arrival_s: FloatArray
    prompt_tokens: IntArray
    session: IntArray
    passes: IntArray | None = None
    prefix: Ragged | None = None
    prefix_block_tokens: int = 0
    predicted_output: IntArray | None = None
    may_wait: bool = False

    def __len__(self) -> int:
        return len(self.arrival_s)


class Active(msgspec.Struct, frozen=True, gc=False):
    """The running requests of all workers, arrays of one length: worker, prompt, tokens generated so far.

    predicted_output: forecast of all tokens it will make, where there is one.
    """

    worker: IntArray
    prompt_tokens: IntArray
    generated_tokens: IntArray
    predicted_output: IntArray | None = None


class Workers(msgspec.Struct, frozen=True, gc=False):
    """Arrays of one length, one entry per worker.

    held_tokens: KV of the running, in whole blocks where the engine counts blocks (`simulate/cluster`), else to the
    token; running, waiting: requests; waiting_tokens: context tokens of the waiting; slots: most requests running at
    once; speed: of a worker relative to the others (1 where None). active: the running requests; policies that forecast
    need them. finished_tokens: output lengths of the requests that ended since the policy was last asked; policies that
    learn, learn from them. open: which may be given requests (all where None); at least one is. keys: what tells a
    worker for good, wherever it stands, each another (None: its index).
    """

    held_tokens: IntArray
    running: IntArray
    waiting: IntArray
    waiting_tokens: IntArray
    slots: IntArray
    speed: FloatArray | None = None
    active: Active | None = None
    finished_tokens: IntArray | None = None
    open: BoolArray | None = None
    keys: IntArray | None = None

    def __len__(self) -> int:
        return len(self.held_tokens)


class Needs(NamedTuple):
    """What a policy is shown beside the loads, and what is kept for it: who asks it may leave out the rest.

    prefixes: the prompts' blocks; keys: what requests are hashed by; forecasts: `predicted_output`; running: `active`;
    outputs: `finished_tokens`. Of compiled policies also: draws, random numbers per request at most; own and of_worker,
    how many numbers it remembers, and of each worker; trees, a prefix tree per worker; ring_points, points per worker
    on a circle of keys; points, of a window of expected loads.
    """

    prefixes: bool = False
    keys: bool = False
    forecasts: bool = False
    running: bool = False
    outputs: bool = False
    draws: int = 0
    own: int = 0
    of_worker: int = 0
    trees: bool = False
    ring_points: int = 0
    points: int = 1


NOTHING = Needs()
EVERYTHING = Needs(prefixes=True, keys=True, forecasts=True, running=True, outputs=True)


class RoutingPolicy(Protocol):
    """A policy: which worker gets a request. Any object with this one method is one."""

    def assign(self, pending: Pending, workers: Workers, now_s: float) -> IntArray:
        """The worker of each pending request, -1 to keep it in the central queue."""
        ...
