"""What the barrier kernel works on: the model, the tables, and one row of where a run stands."""

from typing import NamedTuple

import numpy as np

from shadowprice.arrays import FloatArray, IntArray, Records
from shadowprice.routing._tables import Prefixes

DONE, ASK, STUCK, PAUSED = 0, 1, 2, 3  # what `advance` returns


class Model(NamedTuple):
    """Step time and power of the workers, how loads grow, and how requests come to be routed."""

    fixed_s: float
    per_sequence_s: float
    per_kv_token_s: float
    per_prefill_token_s: float
    drift_tokens: float
    idle_power_w: float
    peak_power_w: float
    power_exponent: float
    central: bool
    saturated: bool


class Tables(NamedTuple):
    """requests, pool, workers, slots: see `routing._tables.Question`. ends: a ring of steps, each with the first of the
    chain of requests that make their last token in it, -1 for none. run: one row. started, ended: room for the requests
    that start in a step, and for the outputs of those that ended since a policy in Python was last asked. samples: rows
    of a time and every worker's load. held: the prompt blocks that workers have cached.
    """

    requests: Records
    pool: IntArray
    workers: Records
    slots: IntArray
    ends: IntArray
    run: Records
    started: IntArray
    ended: IntArray
    samples: FloatArray
    held: Prefixes


_TOTALS = "barrier_s idle_s energy_j steady_s steady_idle_s steady_imbalance steady_indivisible steady_energy_j"
# free: slots that nobody has or waits for; left: requests not finished; following: next to be offered.
RUN = np.dtype(
    [(name, np.float64) for name in f"now_s steady_from_s steady_until_s {_TOTALS}".split()]
    + [
        (name, np.int64)
        for name in (
            [
                "step",
                "following",
                "n_pool",
                "n_ended",
                "free",
                "left",
                "most_passes",
                "steady_steps",
                "steady_tokens",
                "n_samples",
                "stride",
            ]
        )
    ]
)
