"""Load per worker over time as a heat map, today's router beside the best."""

import matplotlib as mpl
import numpy as np

from shadowprice.audit.finding import Finding
from shadowprice.report.figure import STYLE, inline_svg
from shadowprice.report.plots.over_time import on_grid
from shadowprice.scheduling.surface import FloatArray

COLUMNS = 120


def worker_heat(finding: Finding, name: str) -> str:
    """KV tokens held by each worker, one row per worker, on one scale for both routers."""
    policies = list(dict.fromkeys((finding.today, finding.best)))
    end_s = max(float(run.series.time_s[-1]) for policy in policies for run in finding.served[policy].runs)
    grid_s = np.linspace(0, end_s, COLUMNS)
    maps = [_rows(finding, policy, grid_s) for policy in policies]
    most = max(float(rows.max()) for rows in maps)
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = mpl.figure.Figure(figsize=(5.2 * len(policies), 2.6))
        axes = figure.subplots(1, len(policies), sharey=True, squeeze=False)[0]
        for drawn, rows, policy in zip(axes, maps, policies, strict=True):
            extent = (0, end_s / 60, len(rows) + 0.5, 0.5)
            image = drawn.imshow(rows, aspect="auto", extent=extent, vmin=0, vmax=most, cmap="viridis")
            drawn.set_title(policy)
            drawn.set_xlabel("time [min]")
        axes[0].set_ylabel("worker")
        axes[0].yaxis.get_major_locator().set_params(integer=True)
        figure.colorbar(image, ax=list(axes), label="KV tokens held", format="{x:,.0f}")
        return inline_svg(figure, name, f"KV tokens held per worker over time under {' and '.join(policies)}")


def _rows(finding: Finding, policy: str, grid_s: FloatArray) -> FloatArray:
    return np.stack([on_grid((run,), "kv_tokens", grid_s) for run in finding.served[policy].runs])
