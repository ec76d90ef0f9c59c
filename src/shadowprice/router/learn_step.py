"""The step time of the workers, learned from the gaps between streamed tokens."""

from collections.abc import Iterable

import numpy as np

from shadowprice.fleet.step_time import StepTime

FEW = 32  # steps
PRIOR = StepTime(0.02, 0.0, 1e-7, 0.0)


def fit_steps(steps: Iterable[tuple[int, int, float]]) -> StepTime:
    """c + a*B + b*KV from (running, KV tokens, seconds) of steps: least squares, none negative; PRIOR of too few.

    Gaps in which a step was held up (a prefill, a pause of the network) lie above the line; the slowest tenth is left
    out. What prefill costs cannot be told from gaps, and counts as nothing.
    """
    from scipy.optimize import nnls

    rows = np.array(list(steps), np.float64).reshape(-1, 3)
    rows = rows[rows[:, 2] > 0]
    if len(rows) < FEW:
        return PRIOR
    rows = rows[rows[:, 2] <= np.quantile(rows[:, 2], 0.9)]
    shape = np.column_stack([np.ones(len(rows)), rows[:, :2]])
    scale = shape.max(axis=0)
    scale[scale == 0] = 1.0
    fixed_s, per_sequence_s, per_kv_token_s = (nnls(shape / scale, rows[:, 2])[0] / scale).tolist()
    return StepTime(max(fixed_s, 1e-6), per_sequence_s, per_kv_token_s, 0.0)
