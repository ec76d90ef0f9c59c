"""What arrives: traces, their readers and generators, and forecasts of output lengths."""

from shadowprice.workload.readers import MeasuredLog, read_measured, read_trace
from shadowprice.workload.trace import Ragged, Trace

__all__ = ["MeasuredLog", "Ragged", "Trace", "read_measured", "read_trace"]
