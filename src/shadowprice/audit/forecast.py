"""Forecasts of output lengths by a short text, for the command line."""

import numpy as np

from shadowprice.errors import TraceError
from shadowprice.workload.predict import predict_exactly, predict_from_history, predict_with_error
from shadowprice.workload.trace import Trace

ACCEPTED = "exact, median, or noisy:SIGMA (for example noisy:0.5)"


def forecast(trace: Trace, spec: str, rng: np.random.Generator) -> Trace:
    """The trace with `predicted_output` by `spec`.

    exact: every length is known. median: the trace's median for all, as if nothing were known of a request.
    noisy:SIGMA: the length times a lognormal error, exp(SIGMA * standard normal). Raises TraceError for any other.
    """
    kind, _, sigma = spec.partition(":")
    if spec == "exact":
        return predict_exactly(trace)
    if spec == "median":
        return predict_from_history(trace, trace)
    try:
        if kind == "noisy":
            return predict_with_error(trace, float(sigma), rng)
    except ValueError:
        pass
    raise TraceError(f"the forecast {spec!r} is unknown; expected {ACCEPTED}")
