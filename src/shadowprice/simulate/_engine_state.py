"""What the engine kernel works on: tables (record arrays) of the requests, the batch and the run, and the rules."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.void]

DONE, ASK, STUCK, LATER = 0, 1, 2, 3  # what `advance` returns
WAITING, RUNNING, LEAVING, FINISHED = 1, 2, 3, 4  # status of a request; 0 is "not yet arrived"
OPTIMISTIC, RESERVE_PEAK, LOOK_AHEAD, PROTECT = 0, 1, 2, 3  # gates
LAST_ADMITTED, WORST_KEY, CLEAR = 0, 1, 2  # who is preempted when blocks run out
# why admission ended: nobody waits, no slot, no memory until something finishes, worth asking again next step
NOBODY, NO_SLOT, NO_MEMORY, RETRY = range(4)


class Rules(NamedTuple):
    """The worker's limits and step time, and how the policy gates and preempts."""

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
    victim: int
    beta: float
    max_wait_s: float
    in_arrival_order: bool
    lag: bool
    asks: bool
    every_step: bool


def _fields(kind: type, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


# One row per request, by arrival. key: rank in the queue, smallest first. computed: tokens whose KV is there; held:
# blocks. following: the next arrival at the same worker, -1 for none; place: its rank among them. heap_*: links of the
# worker's heap of the waiting.
REQUEST = np.dtype(
    _fields(np.float64, "arrival_s key scheduled_s first_token_s finish_s")
    + _fields(np.int64, "prompt output predicted priority status computed generated held preemptions following place")
    + _fields(np.int64, "in_heap heap_child heap_sibling worker")
)
# One row per running request, in order of admission: its id and the tokens it computes in this step. by_finish: again
# a column of its own, the ids by forecast completion (kept for the look-ahead gate).
BATCH = np.dtype(_fields(np.int64, "id tokens by_finish"))
# One row. now_s: of this decision; end_s: of the last step decided. following: next arrival, -1 for none; oldest:
# no waiting request came earlier; stride: every so many steps one is kept in the samples.
RUN = np.dtype(
    _fields(np.float64, "now_s end_s busy_s kv_token_s running_s")
    + _fields(np.int64, "n_running n_waiting n_leaving n_by_finish n_samples following oldest heap_top free_blocks")
    + _fields(np.int64, "steps stride peak_kv_tokens preempted waiting_tokens")
)


class State(NamedTuple):
    """Where a run stands; samples: rows of time_s, running, waiting, kv_tokens, step_s; residues: room for counting."""

    requests: Table
    rules: Rules
    run: Table
    batch: Table
    samples: npt.NDArray[np.float64]
    residues: npt.NDArray[np.int64]


def new_state(requests: Table, rules: Rules, samples: int) -> State:
    """All requests still to come; `samples` rows are kept of the time series."""
    run = np.zeros(1, RUN)
    run["free_blocks"] = rules.kv_blocks
    run["stride"] = 1
    run["oldest"] = run["heap_top"] = -1
    run["following"] = 0 if len(requests) else -1
    batch = np.zeros(min(rules.max_num_seqs, len(requests)) + 1, BATCH)
    return State(requests, rules, run, batch, np.zeros((samples, 5)), np.zeros(rules.block_size + 1, np.int64))
