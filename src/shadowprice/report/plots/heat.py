"""Load per worker over time, and per GPU over batches, as heat maps: today's policy beside the best."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.audit.finding import Finding
from shadowprice.report.figure import STYLE, inline_svg
from shadowprice.report.plots.over_time import on_grid

COLUMNS = 120


def worker_heat(finding: Finding, name: str) -> str:
    """KV tokens held by each worker, one row per worker, on one scale for both routers."""
    policies = list(dict.fromkeys((finding.today, finding.best)))
    end_s = max(float(run.series.time_s[-1]) for policy in policies for run in finding.served[policy].runs)
    grid_s = np.linspace(0, end_s, COLUMNS)
    maps = {policy: _rows(finding, policy, grid_s) for policy in policies}
    said = f"KV tokens held per worker over time under {' and '.join(policies)}"
    return _maps(maps, 0.0, end_s / 60, ("time [min]", "worker", "KV tokens held"), "{x:,.0f}", name, said)


def gpu_heat(finding: Finding, name: str) -> str:
    """Tokens that each GPU computes in the first layer, one row per GPU, on one scale for both policies."""
    maps = {policy: loads.T for policy, loads in finding.gpu_loads.items()}
    batches = next(iter(maps.values())).shape[1]
    least = min(float(rows.min()) for rows in maps.values())
    said = f"GPU load of the first layer over batches under {' and '.join(maps)}"
    return _maps(maps, least, batches, ("batch", "GPU", "load / mean GPU load"), "{x:.2f}", name, said)


def _maps(
    maps: Mapping[str, FloatArray],
    least: float,
    end: float,
    labels: tuple[str, str, str],
    numbers: str,
    name: str,
    said: str,
) -> str:
    """Beside each other, rows from the top; labels: of time, of a row, of the colour."""
    most = max(float(rows.max()) for rows in maps.values())
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = mpl.figure.Figure(figsize=(5.2 * len(maps), 2.6))
        axes = figure.subplots(1, len(maps), sharey=True, squeeze=False)[0]
        for drawn, (policy, rows) in zip(axes, maps.items(), strict=True):
            extent = (0, end, len(rows) + 0.5, 0.5)
            image = drawn.imshow(rows, aspect="auto", extent=extent, vmin=least, vmax=most, cmap="viridis")
            drawn.set_title(policy)
            drawn.set_xlabel(labels[0])
        axes[0].set_ylabel(labels[1])
        axes[0].yaxis.get_major_locator().set_params(integer=True)
        figure.colorbar(image, ax=list(axes), label=labels[2], format=numbers)
        return inline_svg(figure, name, said)


def _rows(finding: Finding, policy: str, grid_s: FloatArray) -> FloatArray:
    return np.stack([on_grid((run,), "kv_tokens", grid_s) for run in finding.served[policy].runs])
