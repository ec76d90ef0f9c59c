"""A compiled policy asked through arrays: hands them to the kernel, and keeps what the policy remembers."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import typeof

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import PolicyError
from shadowprice.routing._decider_kernel import Desk, Loads, Running, Waiting, answer_once
from shadowprice.routing._tables import NO_RULE, REQUEST, WORKER, Rule, mixed, moved, nothing_seen
from shadowprice.routing.surface import Needs, Pending, Workers
from shadowprice.workload.trace import Ragged

NO_INTS, NO_FLOATS, NO_KEYS = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint64)
NOBODY = Running(NO_INTS, NO_INTS, NO_INTS, NO_INTS)
DRAWN_AT_ONCE = 1024


def request_keys(
    session: IntArray, arrival_s: FloatArray, prompt_tokens: IntArray, prefix: Ragged | None
) -> npt.NDArray[np.uint64]:
    """What requests are hashed by: the session; else the prompt's blocks; else the request itself."""
    content = arrival_s.view(np.uint64) ^ prompt_tokens.astype(np.uint64)
    if prefix is not None and len(prefix.values):
        first, last = prefix.offsets[:-1], prefix.offsets[1:] - 1
        with_blocks = last >= first
        blocks = prefix.values.astype(np.int64).view(np.uint64)
        ends = mixed(blocks[last[with_blocks]]) ^ blocks[first[with_blocks]]
        content[with_blocks] = ends
    return mixed(np.where(session >= 0, session.astype(np.uint64), mixed(content)))


class Decider:
    """What one policy remembers of some workers, and the tables it decides in. keys: see `Workers`."""

    def __init__(
        self, rule: Rule, needs: Needs, workers: int, rng: np.random.Generator, keys: IntArray | None = None
    ) -> None:
        self.rule = rule
        self.needs = needs
        self.workers = workers
        self.keys = np.arange(workers) if keys is None else np.array(keys, np.int64)
        self._of = _bytes(keys)
        self._seen: IntArray | None = None  # what was compared last
        if len(self.keys) != workers:
            raise PolicyError(f"Workers.keys: {len(self.keys)} keys of {workers} workers; expected one of each")
        self.rng = rng
        self.memory = nothing_seen(needs, workers, keys=self.keys)
        self.block_ids: dict[int, int] = {}
        self._make_room(64, 64)

    def decide(self, pending: Pending, workers: Workers, now_s: float) -> IntArray:
        """The answer of `assign`."""
        needs = self.needs
        n, active = len(pending), workers.active if needs.running else None
        m = 0 if active is None else len(active.worker)
        if n + m > len(self.desk.requests) or m > self.desk.slots.shape[1]:
            self._make_room(2 * (n + m), 2 * m)
        if needs.draws:
            self._draw(n * needs.draws)
        first_block, n_blocks = self._show_blocks(pending) if needs.trees else (NO_INTS, NO_INTS)
        waiting = Waiting(
            np.ascontiguousarray(pending.arrival_s, np.float64),
            _ints(pending.prompt_tokens),
            _ints(pending.passes),
            _ints(pending.predicted_output),
            _keys(pending) if needs.keys else NO_KEYS,
            first_block,
            n_blocks,
        )
        running = NOBODY
        if active is not None:
            running = Running(
                _ints(active.worker),
                _ints(active.prompt_tokens),
                _ints(active.generated_tokens),
                _ints(active.predicted_output),
            )
        loads = Loads(
            _ints(workers.held_tokens),
            _ints(workers.running),
            _ints(workers.waiting),
            _ints(workers.waiting_tokens),
            _ints(workers.slots),
            NO_FLOATS if workers.speed is None else np.ascontiguousarray(workers.speed, np.float64),
            _ints(workers.open),
        )
        answer = np.empty(n, np.int64)  # the kernel fills it
        finished = _ints(workers.finished_tokens)
        may_wait = bool(pending.may_wait)
        compiled()(self.rule, float(now_s), may_wait, waiting, running, loads, finished, self.desk, self.memory, answer)
        return answer

    def is_of(self, workers: int, keys: IntArray | None) -> bool:
        """Is it the memory of these workers, in this order."""
        if keys is not None and keys is self._seen and not keys.flags.writeable:
            return True
        same = workers == self.workers and _bytes(keys) == self._of
        self._seen = keys if same else None
        return same

    def moved(self, workers: int, keys: IntArray | None) -> "Decider":
        """A memory of other workers, with what was learned of requests and is known of those that stay."""
        other = Decider(self.rule, self.needs, workers, self.rng, keys)
        places = {key: g for g, key in enumerate(self.keys.tolist())}
        stay = [(places[key], g) for g, key in enumerate(other.keys.tolist()) if key in places]
        other.memory = moved(self.memory, other.memory, stay)
        other.block_ids = self.block_ids
        return other

    def _make_room(self, requests: int, running: int) -> None:
        """Tables for so many requests, and so many running on one worker."""
        self.desk = new_desk(self.workers, requests, running)

    def _draw(self, most: int) -> None:
        """Have so many random numbers in store: one after the other they are the generator's."""
        memory = self.memory
        used = int(memory.drawn[0])
        if len(memory.draws) - used < most:
            more = self.rng.random(max(most, DRAWN_AT_ONCE))
            self.memory = memory._replace(draws=np.concatenate([memory.draws[used:], more]))
            memory.drawn[0] = 0

    def _show_blocks(self, pending: Pending) -> tuple[IntArray, IntArray]:
        """Number the prompt blocks and make room for new ones in the trees; first block and number of each request."""
        if pending.prefix is None:
            return NO_INTS, NO_INTS
        known, ids = self.memory.prefixes, self.block_ids
        tree = known.tree
        blocks = np.array([ids.setdefault(v, len(ids)) for v in pending.prefix.values.tolist()], np.int64)
        if len(ids) > len(tree):
            tree = np.zeros((max(2 * len(tree), len(ids), 1024), tree.shape[1]), np.uint64)
            tree[: len(known.tree)] = known.tree
        shown = known._replace(tree=tree, blocks=blocks, block_tokens=pending.prefix_block_tokens)
        self.memory = self.memory._replace(prefixes=shown)
        return _ints(pending.prefix.offsets[:-1]), np.diff(_ints(pending.prefix.offsets))


def _keys(pending: Pending) -> npt.NDArray[np.uint64]:
    return request_keys(pending.session, pending.arrival_s, pending.prompt_tokens, pending.prefix)


def new_desk(workers: int, requests: int, running: int) -> Desk:
    """Tables for so many requests, and so many running on one worker."""
    return Desk(
        requests=np.zeros(requests, REQUEST),
        workers=np.zeros(workers, WORKER),
        slots=np.zeros((workers, running), np.int64),
        listed=np.zeros(workers, np.int64),
        pool=np.arange(requests),
    )


@cache
def compiled() -> Callable[..., None]:
    """The compiled decision itself: numba's dispatch would look at the types for longer than the decision takes.

    They are always those of these examples, since `Decider` makes or converts every argument.
    """
    waiting = Waiting(NO_FLOATS, NO_INTS, NO_INTS, NO_INTS, NO_KEYS, NO_INTS, NO_INTS)
    loads = Loads(NO_INTS, NO_INTS, NO_INTS, NO_INTS, NO_INTS, NO_FLOATS, NO_INTS)
    desk, memory = new_desk(1, 1, 1), nothing_seen(Needs(), 1)
    examples = (NO_RULE, 0.0, False, waiting, NOBODY, loads, NO_INTS, desk, memory, NO_INTS)
    entry: Callable[..., None] = answer_once.compile(tuple(map(typeof, examples)))
    return entry


def _ints(column: npt.NDArray[Any] | None) -> IntArray:
    """The column as the kernel takes it; empty where there is none."""
    return NO_INTS if column is None else np.ascontiguousarray(column, np.int64)


def _bytes(keys: IntArray | None) -> bytes | None:
    """Keys as they are compared before every decision: ten times as fast as by numpy, and safe from later changes."""
    return None if keys is None else _ints(keys).tobytes()
