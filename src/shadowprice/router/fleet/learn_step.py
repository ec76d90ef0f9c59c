"""The step time of the workers and how fast each is, learned from the gaps between streamed tokens."""

from collections.abc import Iterable, Sequence

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.fleet.step_time import StepTime

FEW = 32  # steps
PRIOR = StepTime(0.02, 0.0, 1e-7, 0.0)
ROUNDS = 8
ALIKE = 1.2  # fastest over slowest: less may be the noise of what else they do

Step = tuple[int, int, float]  # running requests, KV tokens, seconds


def fit_workers(steps: Sequence[Sequence[Step]]) -> tuple[StepTime, list[float]]:
    """Step time of a worker of speed 1, and each worker's speed (mean 1), from the steps of workers side by side.

    By turns: a step time is fitted to the steps as a worker of speed 1 would have made them, then each worker's speed
    is the median of that step time over its own. All have speed 1 where they are nearly alike, as has one of which too
    little is known. Only for workers that do not wait for one another: behind a barrier all take the slowest's time.
    """
    rows = [_rows(of_one) for of_one in steps]
    together = np.concatenate([_rows(()), *rows])
    pooled = model = _fit(together)
    speeds = np.ones(len(steps))
    known = [g for g, of_one in enumerate(rows) if len(of_one) >= FEW]
    owner = np.repeat(np.arange(len(rows)), [len(of_one) for of_one in rows])
    for _ in range(ROUNDS if len(known) > 1 else 0):
        speeds[known] = [_speed(rows[g], model) for g in known]
        speeds[known] /= speeds[known].mean()
        as_of_one = together.copy()
        as_of_one[:, 2] *= speeds[owner]
        model = _fit(as_of_one)
    if speeds.max(initial=1.0) <= ALIKE * speeds.min(initial=1.0):
        return pooled, [1.0] * len(steps)
    return model, speeds.tolist()


def _speed(rows: FloatArray, model: StepTime) -> float:
    running, kv, seconds = rows[rows[:, 2] > 0].T
    return float(np.median((model.fixed_s + model.per_sequence_s * running + model.per_kv_token_s * kv) / seconds))


def _rows(steps: Iterable[Step]) -> FloatArray:
    return np.array(list(steps), np.float64).reshape(-1, 3)


def fit_steps(steps: Iterable[Step]) -> StepTime:
    """c + a*B + b*KV from (running, KV tokens, seconds) of steps: least squares, none negative; PRIOR of too few.

    Gaps in which a step was held up (a prefill, a pause of the network) lie above the line; the slowest tenth is left
    out. What prefill costs cannot be told from gaps, and counts as nothing.
    """
    return _fit(_rows(steps))


def _fit(rows: FloatArray) -> StepTime:
    from scipy.optimize import nnls

    rows = rows[rows[:, 2] > 0]
    if len(rows) < FEW:
        return PRIOR
    rows = rows[rows[:, 2] <= np.quantile(rows[:, 2], 0.9)]
    shape = np.column_stack([np.ones(len(rows)), rows[:, :2]])
    scale = shape.max(axis=0)
    scale[scale == 0] = 1.0
    fixed_s, per_sequence_s, per_kv_token_s = (nnls(shape / scale, rows[:, 2])[0] / scale).tolist()
    return StepTime(max(fixed_s, 1e-6), per_sequence_s, per_kv_token_s, 0.0)
