"""Forecasts of output lengths: each function returns the trace with `predicted_output` and its interval filled.

The interval [predicted_low, predicted_high] is meant to hold `coverage` of the outputs. Schedulers see only these.
"""

from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from shadowprice.arrays import FloatArray
from shadowprice.workload.require import require
from shadowprice.workload.trace import Trace

MOST_TOKENS = 10**9
MOST_SIGMA = 20  # a forecast that is off by nine orders of magnitude; more would leave float64


def predict_exactly(trace: Trace) -> Trace:
    """The oracle: every output is known; the interval is a point."""
    known = trace.output_tokens
    return replace(trace, predicted_output=known, predicted_low=known, predicted_high=known)


def predict_with_error(trace: Trace, sigma: float, rng: np.random.Generator, coverage: float = 0.9) -> Trace:
    """Outputs known up to a lognormal relative error: predicted = output * exp(sigma * Z), rounded, Z standard normal.

    The interval is predicted * exp(-+ z * sigma) with z the normal quantile, widened to whole tokens: before
    rounding it holds the output with probability `coverage` exactly.
    """
    require(0 <= sigma <= MOST_SIGMA, f"sigma is {sigma}; expected a number from 0 to {MOST_SIGMA}")
    require(0 < coverage < 1, f"the coverage is {coverage}; expected a number between 0 and 1")
    predicted = trace.output_tokens.astype(np.float64) * np.exp(sigma * rng.standard_normal(len(trace)))
    reach = np.exp(sigma * ndtri((1 + coverage) / 2))
    return _filled(trace, predicted, predicted / reach, predicted * reach)


def predict_from_history(trace: Trace, history: Trace, quantile: float = 0.5, coverage: float = 0.9) -> Trace:
    """The same forecast for all: a quantile of the outputs in `history`, and the interval of its middle `coverage`."""
    require(len(history) > 0, f"{history.name} is empty; a forecast from history needs requests that have ended")
    require(0 <= quantile <= 1, f"the quantile is {quantile}; expected a number from 0 to 1")
    require(0 < coverage < 1, f"the coverage is {coverage}; expected a number between 0 and 1")
    levels = [min(quantile, (1 - coverage) / 2), quantile, max(quantile, (1 + coverage) / 2)]
    low, middle, high = np.quantile(history.output_tokens, levels)
    every = np.ones(len(trace))
    return _filled(trace, middle * every, low * every, high * every)


def _filled(trace: Trace, middle: FloatArray, low: FloatArray, high: FloatArray) -> Trace:
    return replace(
        trace,
        predicted_output=np.clip(np.rint(middle), 1, MOST_TOKENS).astype(np.int64),
        predicted_low=np.clip(np.floor(low), 1, MOST_TOKENS).astype(np.int64),
        predicted_high=np.clip(np.ceil(high), 1, MOST_TOKENS).astype(np.int64),
    )
