"""Distributions over the requests: which share is served within so many seconds."""

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import FuncFormatter

from shadowprice.arrays import FloatArray
from shadowprice.audit.finding import Finding
from shadowprice.audit.words import number
from shadowprice.report.figure import STYLE, inline_svg, new_axes
from shadowprice.report.plots.lines import label, line_styles

SHARES = np.concatenate([np.linspace(0, 0.98, 99), np.linspace(0.981, 1, 20)])  # finer where the tail is


def latency_distribution(finding: Finding, name: str) -> str:
    """End-to-end latency of each policy."""
    columns = {policy: run.e2e_s for policy, run in finding.served.items()}
    return _distribution(finding, name, columns, "end-to-end latency")


def ttft_distribution(finding: Finding, name: str) -> str:
    """Time to first token of each policy."""
    columns = {policy: run.ttft_s for policy, run in finding.served.items()}
    return _distribution(finding, name, columns, "time to first token")


def _distribution(finding: Finding, name: str, columns: dict[str, FloatArray], what: str) -> str:
    with mpl.rc_context(STYLE):
        figure, axes = new_axes(5.2, 3.7)
        for policy, style in line_styles(finding).items():
            axes.plot(np.quantile(columns[policy], SHARES), 100 * SHARES, label=label(finding, policy), **style)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_ylim(0, 100)
        axes.set_xlabel(f"{what} [s], logarithmic")
        axes.set_ylabel("requests served within [%]")
        axes.set_title(what[0].upper() + what[1:])
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)
        medians = ", ".join(f"{policy} {number(float(np.median(column)))} s" for policy, column in columns.items())
        return inline_svg(figure, name, f"Distribution of {what} over the requests; medians: {medians}")
