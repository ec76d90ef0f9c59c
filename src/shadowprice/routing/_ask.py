"""A built-in policy asked through arrays: fills the kernel's tables, decides, and keeps the memory."""

import numpy as np
import numpy.typing as npt

from shadowprice.routing import _tables as tables
from shadowprice.routing._decide_kernel import decide
from shadowprice.routing._learn_kernel import note_end
from shadowprice.routing.surface import FloatArray, IntArray, Pending, Workers
from shadowprice.workload.trace import Ragged


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
    """The memory of one policy for a number of workers."""

    def __init__(self, rules: tables.Rules, workers: int, rng: np.random.Generator) -> None:
        self.rules = rules
        self.workers = workers
        self.rng = rng
        self.memory = tables.new_memory(rules, workers, np.zeros(0, np.int64), 0)
        self.block_ids: dict[int, int] = {}

    def decide(self, pending: Pending, workers: Workers, now_s: float) -> IntArray:
        """The answer of `assign`."""
        if workers.finished_tokens is not None:
            for tokens in workers.finished_tokens:
                note_end(self.memory.notes, self.memory.ages, self.memory.age_class, int(tokens))
        requests, slots = self.request_table(pending, workers)
        answer = np.full(len(pending), -1, np.int64)
        self._show_blocks(pending, requests)
        pool = np.arange(len(pending))
        if len(pending):
            decide(
                self.rules,
                requests,
                pool,
                len(pool),
                worker_table(workers),
                slots,
                0,
                float(now_s),
                pending.may_wait,
                *self.memory,
                answer,
                self.rng,
            )
        return answer

    def request_table(self, pending: Pending, workers: Workers) -> tuple[tables.Table, IntArray]:
        """The pending and then the running, and which of them run on which worker."""
        n, active = len(pending), workers.active
        m = len(active.worker) if active is not None else 0
        requests = np.zeros(n + m, tables.REQUEST)
        requests["arrival_s"][:n] = pending.arrival_s
        requests["prompt"][:n] = pending.prompt_tokens
        requests["predicted"] = np.iinfo(np.int64).max
        if pending.predicted_output is not None:
            requests["predicted"][:n] = pending.predicted_output
        if pending.passes is not None:
            requests["passes"][:n] = pending.passes
        if self.rules.code == tables.CONSISTENT_HASH:
            keys = request_keys(pending.session, pending.arrival_s, pending.prompt_tokens, pending.prefix)
            requests["key"][:n] = keys
        if active is None or m == 0:
            return requests, np.zeros((self.workers, 0), np.int64)
        requests["prompt"][n:] = active.prompt_tokens
        requests["start_step"][n:] = -active.generated_tokens
        if active.predicted_output is not None:
            requests["predicted"][n:] = active.predicted_output
        order = np.argsort(active.worker, kind="stable")
        counts = np.bincount(active.worker, minlength=self.workers)
        slots = np.zeros((self.workers, max(int(counts.max()), int(workers.running.max()))), np.int64)
        slots[np.arange(slots.shape[1]) < counts[:, None]] = n + order
        return requests, slots

    def _show_blocks(self, pending: Pending, requests: tables.Table) -> None:
        """Number the prompt blocks, and make room for new ones in the trees."""
        tree = self.memory.tree
        used = self.rules.code == tables.CACHE_AWARE or self.rules.prefill_kv_tokens > 0
        if pending.prefix is None or not used:
            return
        ids = self.block_ids
        blocks = np.array([ids.setdefault(v, len(ids)) for v in pending.prefix.values.tolist()], np.int64)
        if len(ids) > len(tree):
            tree = np.zeros((max(2 * len(tree), len(ids), 1024), tree.shape[1]), np.uint64)
            tree[: len(self.memory.tree)] = self.memory.tree
        n = len(pending)
        requests["first_block"][:n] = pending.prefix.offsets[:-1]
        requests["n_blocks"][:n] = np.diff(pending.prefix.offsets)
        self.memory = self.memory._replace(tree=tree, blocks=blocks, block_tokens=pending.prefix_block_tokens)


def worker_table(workers: Workers) -> tables.Table:
    """One row per worker."""
    rows = np.zeros(len(workers), tables.WORKER)
    rows["kv"], rows["queued_kv"] = workers.kv_tokens, workers.waiting_tokens
    rows["running"], rows["queued"] = workers.running, workers.waiting
    rows["free"] = np.maximum(workers.slots - workers.running - workers.waiting, 0)
    rows["speed"] = 1.0 if workers.speed is None else workers.speed
    return rows
