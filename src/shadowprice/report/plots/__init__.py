"""One file per kind of plot; each gives an inline SVG of one finding."""

from collections.abc import Callable

from shadowprice.audit.finding import Finding
from shadowprice.report.plots.bars import bars
from shadowprice.report.plots.distribution import latency_distribution, ttft_distribution
from shadowprice.report.plots.over_time import kv_over_time, queue_over_time

Plot = Callable[[Finding, str], str]

CERTIFICATES: tuple[Plot, ...] = (bars,)
SERVED: tuple[Plot, ...] = (latency_distribution, ttft_distribution, queue_over_time, kv_over_time)

__all__ = ["CERTIFICATES", "SERVED", "Plot"]
