"""A built-in policy asked through arrays: hands them to the kernel, and keeps the memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import PolicyError
from shadowprice.routing import _tables as tables
from shadowprice.routing._ask_kernel import ask
from shadowprice.routing.surface import Pending, Workers
from shadowprice.workload.trace import Ragged

NO_INTS, NO_FLOATS, NO_KEYS = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint64)
_COMPILED: dict[bool, Callable[..., None]] = {}  # the kernel's entries, without and with random numbers


def request_keys(
    session: IntArray, arrival_s: FloatArray, prompt_tokens: IntArray, prefix: Ragged | None
) -> npt.NDArray[np.uint64]:
    """What requests are hashed by: the session; else the prompt's blocks; else the request itself."""
    content = arrival_s.view(np.uint64) ^ prompt_tokens.astype(np.uint64)
    if prefix is not None and len(prefix.values):
        first, last = prefix.offsets[:-1], prefix.offsets[1:] - 1
        with_blocks = last >= first
        blocks = prefix.values.astype(np.int64).view(np.uint64)
        ends = tables.mixed(blocks[last[with_blocks]]) ^ blocks[first[with_blocks]]
        content[with_blocks] = ends
    return tables.mixed(np.where(session >= 0, session.astype(np.uint64), tables.mixed(content)))


class Asked:
    """The memory of one policy of some workers, and the tables that its decisions are taken in. keys: see `Workers`."""

    def __init__(
        self, rules: tables.Rules, workers: int, rng: np.random.Generator | None, keys: IntArray | None = None
    ) -> None:
        self.rules = tables.typed(rules)
        self.workers = workers
        self.keys = np.arange(workers) if keys is None else np.array(keys, np.int64)
        self._of = _bytes(keys)
        self._seen: IntArray | None = None  # what was compared last
        if len(self.keys) != workers:
            raise PolicyError(f"Workers.keys: {len(self.keys)} keys of {workers} workers; expected one of each")
        # numba looks into a generator for longer than a decision takes: who draws nothing gets none
        self.rng = rng if rules.code in tables.DRAWS else None
        self.memory = tables.new_memory(self.rules, workers, NO_INTS, 0, self.keys)
        self.block_ids: dict[int, int] = {}
        self.worker_rows = np.zeros(workers, tables.WORKER)
        self.counts = np.zeros(workers, np.int64)
        self._make_room(64, 64)

    def decide(self, pending: Pending, workers: Workers, now_s: float) -> IntArray:
        """The answer of `assign`."""
        n, active = len(pending), workers.active
        m = 0 if active is None else len(active.worker)
        if n + m > len(self.requests) or m > self.slots.shape[1]:
            self._make_room(2 * (n + m), 2 * m)
        answer = np.empty(n, np.int64)  # the kernel fills it
        running = (NO_INTS,) * 4
        if active is not None:
            running = (
                _ints(active.worker),
                _ints(active.prompt_tokens),
                _ints(active.generated_tokens),
                _ints(active.predicted_output),
            )
        _call(
            self.rules,
            float(now_s),
            bool(pending.may_wait),
            np.ascontiguousarray(pending.arrival_s, np.float64),
            _ints(pending.prompt_tokens),
            _ints(pending.passes),
            _ints(pending.predicted_output),
            self._keys(pending),
            *self._show_blocks(pending),
            _ints(workers.kv_tokens),
            _ints(workers.running),
            _ints(workers.waiting),
            _ints(workers.waiting_tokens),
            _ints(workers.slots),
            NO_FLOATS if workers.speed is None else np.ascontiguousarray(workers.speed, np.float64),
            _ints(workers.open),
            *running,
            _ints(workers.finished_tokens),
            self.requests,
            self.worker_rows,
            self.slots,
            self.counts,
            self.pool,
            *self.memory,
            answer,
            self.rng,
        )
        return answer

    def is_of(self, workers: int, keys: IntArray | None) -> bool:
        """Is it the memory of these workers, in this order."""
        if keys is not None and keys is self._seen and not keys.flags.writeable:
            return True
        same = workers == self.workers and _bytes(keys) == self._of
        self._seen = keys if same else None
        return same

    def moved(self, workers: int, keys: IntArray | None) -> "Asked":
        """A memory of other workers, with what was learned of requests and is known of those that stay."""
        other = Asked(self.rules, workers, self.rng, keys)
        places = {key: g for g, key in enumerate(self.keys.tolist())}
        stay = [(places[key], g) for g, key in enumerate(other.keys.tolist()) if key in places]
        other.memory = tables.moved(self.memory, other.memory, stay)
        other.block_ids = self.block_ids
        return other

    def _make_room(self, requests: int, running: int) -> None:
        """Tables for so many requests, and so many running on one worker."""
        self.requests = np.zeros(requests, tables.REQUEST)
        self.pool = np.arange(requests)
        self.slots = np.zeros((self.workers, running), np.int64)

    def _keys(self, pending: Pending) -> npt.NDArray[np.uint64]:
        if self.rules.code != tables.CONSISTENT_HASH:
            return NO_KEYS
        return request_keys(pending.session, pending.arrival_s, pending.prompt_tokens, pending.prefix)

    def _show_blocks(self, pending: Pending) -> tuple[IntArray, IntArray]:
        """Number the prompt blocks and make room for new ones in the trees; first block and number of each request."""
        tree = self.memory.tree
        used = self.rules.code == tables.CACHE_AWARE or self.rules.prefill_kv_tokens > 0
        if pending.prefix is None or not used:
            return NO_INTS, NO_INTS
        ids = self.block_ids
        blocks = np.array([ids.setdefault(v, len(ids)) for v in pending.prefix.values.tolist()], np.int64)
        if len(ids) > len(tree):
            tree = np.zeros((max(2 * len(tree), len(ids), 1024), tree.shape[1]), np.uint64)
            tree[: len(self.memory.tree)] = self.memory.tree
        self.memory = self.memory._replace(tree=tree, blocks=blocks, block_tokens=pending.prefix_block_tokens)
        return _ints(pending.prefix.offsets[:-1]), np.diff(_ints(pending.prefix.offsets))


def _ints(column: npt.NDArray[Any] | None) -> IntArray:
    """The column as the kernel takes it; empty where there is none."""
    return NO_INTS if column is None else np.ascontiguousarray(column, np.int64)


def _bytes(keys: IntArray | None) -> bytes | None:
    """Keys as they are compared before every decision: ten times as fast as by numpy, and safe from later changes."""
    return None if keys is None else _ints(keys).tobytes()


def _call(*arguments: Any) -> None:
    """Call the kernel past numba's dispatch, which looks at 40 types for longer than the decision takes.

    The types are always the same: `Asked` makes or converts every argument.
    """
    draws = arguments[-1] is not None
    entry = _COMPILED.get(draws)
    if entry is None:
        known = len(ask.overloads)
        ask(*arguments)
        compiled: Any = list(ask.overloads.values())[known]
        _COMPILED[draws] = compiled.entry_point
    else:
        entry(*arguments)
