"""What arrives: traces, their readers and generators, and forecasts of output lengths."""

from shadowprice.workload.trace import Ragged, Trace

__all__ = ["Ragged", "Trace"]
