"""What the fleet holds over time: requests that wait, and KV tokens."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import FuncFormatter

from shadowprice.arrays import FloatArray
from shadowprice.audit.finding import Finding
from shadowprice.report.figure import MUTED, STYLE, inline_svg, new_axes
from shadowprice.report.plots.lines import label, line_styles
from shadowprice.simulate.engine import EngineRun

POINTS = 300


def queue_over_time(finding: Finding, name: str) -> str:
    """Waiting requests of the whole fleet, for the policies that stand out."""
    return _over_time(finding, name, "waiting", "waiting requests", None)


def kv_over_time(finding: Finding, name: str) -> str:
    """KV tokens held by the whole fleet, and how many there are, for the policies that stand out."""
    assert finding.case is not None  # requests were served
    worker = finding.case.fleet.worker
    most = finding.case.fleet.workers * worker.kv_blocks * worker.block_size
    return _over_time(finding, name, "kv_tokens", "KV tokens held", most)


def _over_time(finding: Finding, name: str, column: str, what: str, most: int | None) -> str:
    shown = {finding.certificates[-1].policy, finding.today, finding.best}
    end_s = max(float(run.series.time_s[-1]) for policy in shown for run in finding.served[policy].runs)
    grid_s = np.linspace(0, end_s, POINTS)
    with mpl.rc_context(STYLE):
        figure, axes = new_axes(5.2, 3.2)
        for policy, style in line_styles(finding).items():
            if policy in shown:
                total = on_grid(finding.served[policy].runs, column, grid_s)
                axes.plot(grid_s / 60, total, label=label(finding, policy), **style | {"linewidth": 1.4})
        if most is not None:
            axes.axhline(most, color=MUTED, linestyle=":", label="all there is")
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, end_s / 60)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("time [min]")
        axes.set_ylabel(what)
        axes.set_title(f"{what[0].upper()}{what[1:]} over time")
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)
        return inline_svg(figure, name, f"{what} over time under {', '.join(sorted(shown))}")


def on_grid(runs: Sequence[EngineRun], column: str, grid_s: FloatArray) -> FloatArray:
    """A column of the workers' time series, each as it stood at the grid's times, summed over the workers."""
    total = np.zeros(len(grid_s))
    for run in runs:
        values = np.append(0.0, getattr(run.series, column))
        stood = values[np.searchsorted(run.series.time_s, grid_s, side="right")]
        total += np.where(grid_s <= run.series.time_s[-1], stood, 0.0)
    return total
