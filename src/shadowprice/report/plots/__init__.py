"""One file per kind of plot; each gives an inline SVG of one finding."""

from collections.abc import Callable

from shadowprice.audit.finding import Finding
from shadowprice.report.plots.bars import bars
from shadowprice.report.plots.by_workers import latency_by_workers
from shadowprice.report.plots.distribution import latency_distribution, ttft_distribution
from shadowprice.report.plots.gauge import headroom_gauge
from shadowprice.report.plots.heat import gpu_heat, worker_heat
from shadowprice.report.plots.over_time import kv_over_time, queue_over_time

Plot = Callable[[Finding, str], str]

# of any finding, and of one in which requests were served
CERTIFICATES: tuple[Plot, ...] = (bars,)
SERVED: tuple[Plot, ...] = (latency_distribution, ttft_distribution, queue_over_time, kv_over_time)
# of one decision only, where the case has a rate or there is none
BY_DECISION: dict[str, tuple[Plot, ...]] = {
    "routing": (worker_heat,),
    "capacity": (headroom_gauge, latency_by_workers),
    "expert placement": (gpu_heat,),
    "expert dispatch": (gpu_heat,),
}

__all__ = ["BY_DECISION", "CERTIFICATES", "SERVED", "Plot"]
