"""What arrives: traces, their readers and generators, and forecasts of output lengths."""

from shadowprice.workload.generators import (
    Sizes,
    diurnal_arrivals,
    fixed_lengths,
    gamma_arrivals,
    generate,
    lognormal_lengths,
    on_off_arrivals,
    poisson_arrivals,
    quantile_lengths,
)
from shadowprice.workload.operations import (
    concatenate,
    merge,
    resample,
    scale_rate,
    shift,
    slice_time,
    stagger_sessions,
    thin,
)
from shadowprice.workload.predict import predict_exactly, predict_from_history, predict_with_error
from shadowprice.workload.presets import PRESETS
from shadowprice.workload.public import PUBLIC_TRACES
from shadowprice.workload.readers import MeasuredLog, read_measured, read_trace
from shadowprice.workload.statistics import TraceStatistics, describe
from shadowprice.workload.trace import Ragged, Trace
from shadowprice.workload.write import write_trace

__all__ = [
    "PRESETS",
    "PUBLIC_TRACES",
    "MeasuredLog",
    "Ragged",
    "Sizes",
    "Trace",
    "TraceStatistics",
    "concatenate",
    "describe",
    "diurnal_arrivals",
    "fixed_lengths",
    "gamma_arrivals",
    "generate",
    "lognormal_lengths",
    "merge",
    "on_off_arrivals",
    "poisson_arrivals",
    "predict_exactly",
    "predict_from_history",
    "predict_with_error",
    "quantile_lengths",
    "read_measured",
    "read_trace",
    "resample",
    "scale_rate",
    "shift",
    "slice_time",
    "stagger_sessions",
    "thin",
    "write_trace",
]
