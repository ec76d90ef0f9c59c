"""What the engine kernel works on: tables (record arrays) of requests, batches and runs, and the rules of an engine."""

from typing import Any, NamedTuple

import numpy as np

from shadowprice.arrays import FloatArray, IntArray, Records

DONE, ASK, STUCK, LATER = 0, 1, 2, 3  # what `advance` returns
WAITING, RUNNING, LEAVING, FINISHED = 1, 2, 3, 4  # status of a request; 0 is "not yet arrived"
SPARE = 5  # it runs, but is left out while room for another is looked for
OPTIMISTIC, RESERVE_PEAK, LOOK_AHEAD, PROTECT, HEADROOM = 0, 1, 2, 3, 4  # gates
LAST_ADMITTED, WORST_KEY, CLEAR = 0, 1, 2  # who is preempted when blocks run out
# why admission ended: nobody waits, no slot, no memory until something finishes, worth asking again next step
NOBODY, NO_SLOT, NO_MEMORY, RETRY = range(4)


class EngineRules(NamedTuple):
    """The worker's limits and step time, and how the policy gates and preempts.

    plain: a request holds, and a step reads, its tokens; else what kept and read say (TokenCurve.numbers).
    moves: keys are looked up anew where a request has reached another level; gives_way: as in `Ranked`.
    """

    fixed_s: float
    per_sequence_s: float
    per_kv_token_s: float
    per_prefill_token_s: float
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_blocks: int
    block_size: int
    gate: int
    alpha: float
    headroom: int
    victim: int
    beta: float
    max_wait_s: float
    moves: bool
    gives_way: bool
    in_arrival_order: bool
    lag: bool
    asks: bool
    every_step: bool
    plain: bool
    kept: tuple[float, float, float, float]
    read: tuple[float, float, float, float]


def _fields(kind: type, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


# One row per request, by arrival. key: rank in the queue, smallest first. computed: tokens whose KV is there; held:
# blocks. level: its row of KEY, where keys move. following: the next arrival at the same worker, -1 for none; place:
# its rank among them. heap_*: links of the worker's heap of the waiting; before: the one that links to it.
REQUEST = np.dtype(
    _fields(np.float64, "arrival_s key scheduled_s first_token_s finish_s")
    + _fields(np.int64, "prompt output predicted status computed generated held preemptions level following place")
    + _fields(np.int64, "heap_child heap_sibling heap_before worker")
)
# Keys that move: a row for each level of each request, the levels of a request in order. until: tokens made at which
# the next level begins; the key while it waits with nothing computed, and while it runs.
KEY = np.dtype(_fields(np.int64, "until") + _fields(np.float64, "waiting running"))
# One row per running request, in order of admission: its id and the tokens it computes in this step. by_finish: again
# a column of its own, the ids by forecast completion (kept for the look-ahead gate).
BATCH = np.dtype(_fields(np.int64, "id tokens by_finish"))
# One row. now_s: of this decision; end_s: of the last step decided. following: next arrival, -1 for none; oldest:
# no waiting request came earlier; gave_way: the foremost of those that gave way in this decision, -1 for none; stride:
# every so many steps one is kept in the samples.
RUN = np.dtype(
    _fields(np.float64, "now_s end_s busy_s kv_token_s running_s")
    + _fields(np.int64, "n_running n_waiting n_leaving n_by_finish n_samples following oldest gave_way heap_top")
    + _fields(np.int64, "free_blocks steps stride peak_kv_tokens preempted waiting_tokens")
)


class Engines(NamedTuple):
    """Where the engines of equal workers stand, over one table of requests; runs, batches and samples: a row for each.

    samples [workers, rows, 5]: time_s, running, waiting, kv_tokens, step_s; residues: room for counting. own_s: seconds
    of a worker's own work in lockstep; last: the request that was last handed to it, -1 for none.
    """

    requests: Records
    rules: EngineRules
    keys: Records
    runs: Records
    batches: Records
    samples: FloatArray
    residues: IntArray
    own_s: FloatArray
    last: IntArray


def one_engine(requests: Records, rules: EngineRules, keys: Records, samples: int) -> Engines:
    """A single worker with all requests still to come; `samples` rows are kept of the time series."""
    requests["following"] = np.arange(1, len(requests) + 1)
    requests["following"][-1:] = -1
    requests["place"] = np.arange(len(requests))
    engines = idle_engines(requests, rules, keys, 1, samples)
    engines.runs["following"] = 0 if len(requests) else -1
    return engines


def idle_engines(requests: Records, rules: EngineRules, keys: Records, workers: int, samples: int) -> Engines:
    """Workers to which nothing has been handed over yet."""
    runs = np.zeros(workers, RUN)
    runs["free_blocks"] = rules.kv_blocks
    runs["stride"] = 1
    runs["oldest"] = runs["gave_way"] = runs["heap_top"] = runs["following"] = -1
    batches = np.zeros((workers, min(rules.max_num_seqs, len(requests)) + 1), BATCH)
    residues = np.zeros(rules.block_size + 1, np.int64)
    return Engines(
        requests,
        rules,
        keys,
        runs,
        batches,
        samples=np.zeros((workers, samples, 5)),
        residues=residues,
        own_s=np.zeros(workers),
        last=np.full(workers, -1, np.int64),
    )
