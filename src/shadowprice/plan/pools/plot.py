"""The map of where splitting pays, as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shadowprice.errors import ShadowpriceError
from shadowprice.extras import needs
from shadowprice.plan.pools.map import Gains, PoolsMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 2.0  # the colours end at this factor and at its inverse


def write_map(found: PoolsMap, path: Path) -> None:
    """Two maps over the TPOT limit, of the TTFT limit and of prompt/output (.svg, .png).

    Colours: goodput of the best split over that of the best chunk size. Line: where the formulas turn. Dashed: a full
    prefill step. The same maps give the same bytes. Raises ShadowpriceError where the file cannot be written.
    """
    needs("report")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "shadowprice"
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    image = _draw(left, found, found.by_limits, "TTFT limit [s]")
    left.plot(found.slo.tpot_s, found.slo.ttft_s, "k*", markersize=9, label="asked for")
    _draw(right, found, found.by_ratio, "mean prompt / mean output tokens")
    left.set_title(f"{found.setting.trace.name}, {found.setting.workers} workers", fontsize=10)
    right.set_title(f"other lengths, TTFT limit {found.slo.ttft_s:g} s", fontsize=10)
    bar = figure.colorbar(image, ax=(left, right), label="goodput of the best split / of the best chunk size")
    ticks = [0.5, 0.7, 0.9, 1.0, 1.1, 1.4, 2.0]
    bar.set_ticks([float(np.log(x)) for x in ticks], labels=[f"{x:g}" for x in ticks])
    left.legend(frameon=True, fontsize=8, loc="lower left")
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})
    except (OSError, ValueError) as error:
        raise ShadowpriceError(f"{path}: cannot be written: {error}") from error


def _draw(axes: "Axes", found: PoolsMap, gains: Gains, what: str) -> Any:
    """One map; grey where neither way serves."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    with np.errstate(divide="ignore"):
        logs = np.clip(np.log(gains.simulated), -np.log(MOST), np.log(MOST))
        turn = np.clip(np.log(gains.expected), -np.log(MOST), np.log(MOST))
    axes.set(facecolor="#d8d8d8", xscale="log", yscale="log", xlabel="TPOT limit [s]", ylabel=what)
    for axis, values in ((axes.xaxis, gains.tpot_s), (axes.yaxis, gains.rows)):
        axis.set_major_locator(FixedLocator(values[:: max(1, len(values) // 6)].tolist()))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    image = axes.pcolormesh(
        gains.tpot_s, gains.rows, logs, cmap="RdBu_r", vmin=-np.log(MOST), vmax=np.log(MOST), shading="nearest"
    )
    if np.nanmin(turn) < 0 < np.nanmax(turn):
        axes.contour(gains.tpot_s, gains.rows, turn, levels=[0.0], colors="black", linewidths=1.2)
    axes.plot([], [], color="black", linewidth=1.2, label="the formulas turn")
    time, most = found.setting.worker.step_time, found.setting.worker.max_num_batched_tokens
    full_step_s = time.fixed_s + time.per_prefill_token_s * most
    if gains.tpot_s[0] < full_step_s < gains.tpot_s[-1]:
        axes.axvline(full_step_s, color="black", linestyle="--", linewidth=1, label="a full prefill step")
    return image
