"""Fit the standard step-time model to any function that gives the time of a step."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from shadowprice.errors import FleetError
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.token_curve import TokenCurve

BATCHES = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
CONTEXTS = (128, 256, 512, 1024, 2048, 4096)
PROMPTS = (128, 256, 512, 1024, 2048, 4096, 8192)
LARGEST_KV_TOKENS = 400_000


@dataclass(frozen=True)
class LinearFit:
    """A fitted step time and its mean relative error, over decode steps and over steps with prefill."""

    step_time: StepTime
    decode_error: float
    prefill_error: float


def fit_step_time(
    latency_s: Callable[[int, int, int], float], max_num_seqs: int, read: TokenCurve | None = None
) -> LinearFit:
    """Least squares on the relative error, no coefficient negative; ours.

    latency_s(sequences, context_tokens, prompt_tokens): seconds of one step in which `sequences` decode at that
    context each and a whole prompt is prefilled; for a step without prefill prompt_tokens is 0.
    c, a and b come from decode steps (1 to max_num_seqs sequences of 128 to 4096 tokens, at most 400,000 in all),
    which are most of the steps that an engine takes; e then from whole prompts of 128 to 8192 tokens, alone and
    beside decoding sequences. read: KV tokens that a step reads of a sequence; None: its context. Raises FleetError
    when the latencies are not positive and finite.
    """
    from scipy.optimize import nnls  # here, since it takes longer to import than all of a fleet's arithmetic

    batches = sorted({b for b in BATCHES if b < max_num_seqs} | {max_num_seqs})
    grid = [(b, s) for b, s in product(batches, CONTEXTS) if b * s <= LARGEST_KV_TOKENS or b == 1]
    seen = {s: s if read is None else float(read.of(s)) for s in CONTEXTS}
    decode = np.array([(b, b * seen[s], 0, latency_s(b, s, 0)) for b, s in grid], dtype=np.float64)
    alone = [(0, 0, p, latency_s(0, p, p)) for p in PROMPTS]
    beside = [(b, b * seen[s], s, latency_s(b, s, s)) for b, s in grid]
    prefill = np.array(alone + beside, dtype=np.float64)
    shape = np.column_stack([np.ones(len(decode)), decode[:, :2]])
    try:
        c, a, b = nnls(shape / decode[:, 3:], np.ones(len(decode)))[0]
    except (RuntimeError, ValueError) as error:
        raise FleetError(f"no step time fits latencies of {decode[0, 3]:g} to {decode[-1, 3]:g} s: {error}") from None
    left = (prefill[:, 3] - c - a * prefill[:, 0] - b * prefill[:, 1]) / prefill[:, 3]
    weight = prefill[:, 2] / prefill[:, 3]
    e = max(0.0, float(weight @ left / (weight @ weight)))
    step_time = StepTime(float(c), float(a), float(b), e)
    return LinearFit(step_time, _mean_error(step_time, decode), _mean_error(step_time, prefill))


def _mean_error(step_time: StepTime, rows: npt.NDArray[np.float64]) -> float:
    predicted = step_time.seconds(rows[:, 0], rows[:, 1], rows[:, 2])  # type: ignore[arg-type]
    return float(np.mean(np.abs(predicted / rows[:, 3] - 1)))
