import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowprice.errors import TraceError
from shadowprice.workload import PRESETS, Trace, predict_exactly, predict_from_history, predict_with_error

TRACE = PRESETS["azure-conv-like"](np.random.default_rng(0), requests=20_000)


def test_the_oracle_knows_every_output():
    known = predict_exactly(TRACE)
    for column in (known.predicted_output, known.predicted_low, known.predicted_high):
        np.testing.assert_array_equal(column, TRACE.output_tokens)


@given(sigma=st.floats(0, 3), coverage=st.floats(0.05, 0.99), seed=st.integers(0, 99))
def test_forecasts_are_whole_positive_and_inside_their_interval(sigma, coverage, seed):
    trace = predict_with_error(TRACE.take(range(50)), sigma, np.random.default_rng(seed), coverage)
    assert trace.predicted_output.min() >= 1 and trace.predicted_output.dtype == np.int64
    assert np.all(trace.predicted_low <= trace.predicted_output)
    assert np.all(trace.predicted_output <= trace.predicted_high)


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_the_interval_holds_its_share_of_outputs(coverage):
    trace = predict_with_error(TRACE, 0.5, np.random.default_rng(1), coverage)
    held = (trace.predicted_low <= trace.output_tokens) & (trace.output_tokens <= trace.predicted_high)
    assert held.mean() == pytest.approx(coverage, abs=0.02)
    relative = np.log(trace.predicted_output / TRACE.output_tokens)
    assert relative.std() == pytest.approx(0.5, rel=0.03)


def test_no_error_is_the_oracle():
    trace = predict_with_error(TRACE, 0.0, np.random.default_rng(1))
    np.testing.assert_array_equal(trace.predicted_output, TRACE.output_tokens)


def test_history_gives_one_forecast_for_all():
    trace = predict_from_history(TRACE, TRACE, quantile=0.5, coverage=0.8)
    assert set(trace.predicted_output) == {129 + round(np.median(TRACE.output_tokens) - 129)}
    held = (trace.predicted_low <= TRACE.output_tokens) & (TRACE.output_tokens <= trace.predicted_high)
    assert held.mean() == pytest.approx(0.8, abs=0.02)
    high = predict_from_history(TRACE, TRACE, quantile=1.0, coverage=0.5)
    assert high.predicted_high[0] >= high.predicted_output[0] >= high.predicted_low[0]


def test_meaningless_parameters_are_errors():
    rng, empty = np.random.default_rng(0), TRACE.take([])
    for call in (
        lambda: predict_with_error(TRACE, -1.0, rng),
        lambda: predict_with_error(TRACE, 1.0, rng, coverage=1.0),
        lambda: predict_from_history(TRACE, TRACE, quantile=2.0),
        lambda: predict_from_history(TRACE, TRACE, coverage=0.0),
    ):
        with pytest.raises(TraceError, match="expected"):
            call()
    with pytest.raises(TraceError, match="is empty"):
        predict_from_history(TRACE, empty)
    assert len(predict_exactly(Trace(np.zeros(0), np.zeros(0, int), np.zeros(0, int)))) == 0
