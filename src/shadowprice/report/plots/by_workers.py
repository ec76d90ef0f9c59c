"""Latency against the number of workers."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from shadowprice.audit.finding import Finding
from shadowprice.audit.fleet_run import run_fleet
from shadowprice.audit.words import number
from shadowprice.capacity import stability
from shadowprice.report.figure import BEST, BOUND, OTHER, STYLE, TODAY, inline_svg, new_axes
from shadowprice.scheduling.policies import fcfs

SIZES = (0.5, 0.75, 1.0, 1.25, 1.6, 2.0, 3.0)  # times the fewest workers that can be stable


def latency_by_workers(finding: Finding, name: str) -> str:
    """p99 TTFT and end-to-end latency of the case's trace on fewer and more workers, first come first served."""
    case = finding.case
    assert case is not None  # capacity is certified on cases only
    least = stability(replace(case.trace, cached_tokens=None), case.fleet.worker).least_workers
    sizes = sorted({max(round(least * times), 1) for times in SIZES} | {case.fleet.workers, least, least + 1})
    runs = [run_fleet(case.trace, replace(case.fleet, workers=size), fcfs()) for size in sizes]
    ttft = [float(np.quantile(run.ttft_s, 0.99)) for run in runs]
    e2e = [float(np.quantile(run.e2e_s, 0.99)) for run in runs]
    with mpl.rc_context(STYLE):
        figure, axes = new_axes(9.6, 3.6)
        axes.plot(sizes, e2e, color=OTHER, marker="o", markersize=3, label="p99 end-to-end latency")
        axes.plot(sizes, ttft, color=BEST, marker="o", markersize=3, label="p99 time to first token")
        axes.axvline(least, color=BOUND, linestyle="--", label=f"fewest that can be stable: {least}")
        axes.axvline(case.fleet.workers, color=TODAY, linestyle=":", label=f"the fleet: {case.fleet.workers}")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("workers")
        axes.set_ylabel("seconds, logarithmic")
        axes.set_title("Latency against the number of workers")
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)
        said = ", ".join(f"{size}: {number(value)} s" for size, value in zip(sizes, ttft, strict=True))
        return inline_svg(figure, name, f"p99 time to first token by workers: {said}")
