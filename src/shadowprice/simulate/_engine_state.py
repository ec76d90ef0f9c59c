"""What the engine kernel works on: the requests, the worker's rules, and the state of a run, all in arrays."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DONE, ASK, STUCK = 0, 1, 2  # what `advance` returns
WAITING, RUNNING, LEAVING, FINISHED = 1, 2, 3, 4  # status of a request; 0 is "not yet arrived"
OPTIMISTIC, RESERVE_PEAK, LOOK_AHEAD, PROTECT = 0, 1, 2, 3  # gates
LAST_ADMITTED, WORST_KEY, CLEAR = 0, 1, 2  # who is preempted when blocks run out
N_RUNNING, N_WAITING, N_LEAVING, N_HEAP, N_BY_FINISH, NEXT, FREE, STEPS, OLDEST = range(9)
PEAK_KV, STRIDE, SAMPLES, PREEMPTED, COUNTS = range(9, 14)
NOW, END, BUSY_S, KV_TOKEN_S, RUNNING_S, CLOCKS = range(6)  # NOW: of this decision; END: of the last step decided
# why admission ended: nobody waits, no slot, no memory until something finishes, worth asking again next step
NOBODY, NO_SLOT, NO_MEMORY, RETRY = range(4)


class Load(NamedTuple):
    """What arrives, sorted by arrival, and the rank in which it waits (smallest key first)."""

    arrival_s: FloatArray
    prompt: IntArray
    output: IntArray
    predicted: IntArray
    key: FloatArray


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


class State(NamedTuple):
    """Where the run stands. Arrays of length n are per request; `running` lists ids in order of admission."""

    status: IntArray
    computed: IntArray
    generated: IntArray
    held: IntArray
    running: IntArray
    scheduled: IntArray
    by_finish: IntArray
    residues: IntArray
    heap: IntArray
    in_heap: npt.NDArray[np.bool_]
    scheduled_s: FloatArray
    first_token_s: FloatArray
    finish_s: FloatArray
    preemptions: IntArray
    counts: IntArray
    clock: FloatArray
    samples: FloatArray


def new_state(n: int, rules: Rules, samples: int) -> State:
    """All requests still to come; `samples` rows are kept of the time series."""
    batch = min(rules.max_num_seqs, n) + 1
    counts = np.zeros(COUNTS, np.int64)
    counts[FREE] = rules.kv_blocks
    counts[STRIDE] = 1

    def zeros(length: int) -> IntArray:
        return np.zeros(length, np.int64)

    def nans() -> FloatArray:
        return np.full(n, np.nan)

    return State(
        status=zeros(n),
        computed=zeros(n),
        generated=zeros(n),
        held=zeros(n),
        running=zeros(batch),
        scheduled=zeros(batch),
        by_finish=zeros(batch),
        residues=zeros(rules.block_size),
        heap=zeros(n + 1),
        in_heap=np.zeros(n, np.bool_),
        scheduled_s=nans(),
        first_token_s=nans(),
        finish_s=nans(),
        preemptions=zeros(n),
        counts=counts,
        clock=np.zeros(CLOCKS),
        samples=np.zeros((samples, 5)),
    )
