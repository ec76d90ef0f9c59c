"""Forecasts by a short text."""

import numpy as np
import pytest

from shadowprice.audit.forecast import forecast
from shadowprice.errors import TraceError
from tests.audit.small_cases import small_trace


def test_exact_is_the_truth_and_median_the_same_for_all() -> None:
    trace, rng = small_trace(), np.random.default_rng(0)
    assert np.array_equal(forecast(trace, "exact", rng).predicted_output, trace.output_tokens)
    median = forecast(trace, "median", rng).predicted_output
    assert median is not None and set(median) == {round(np.median(trace.output_tokens))}


def test_noise_is_seeded_and_grows_with_sigma() -> None:
    trace = small_trace(2000)
    error = {}
    for sigma in ("0.1", "0.5"):
        once, again = (forecast(trace, f"noisy:{sigma}", np.random.default_rng(3)).predicted_output for _ in range(2))
        assert once is not None and np.array_equal(once, again)
        error[sigma] = np.abs(np.log(once / trace.output_tokens)).mean()
    assert error["0.1"] < error["0.5"]


@pytest.mark.parametrize("spec", ["", "noisy", "noisy:", "noisy:x", "noisy:-1", "noisy:nan", "exact:1", "best"])
def test_anything_else_is_refused(spec: str) -> None:
    with pytest.raises(TraceError, match="expected"):
        forecast(small_trace(), spec, np.random.default_rng(0))
