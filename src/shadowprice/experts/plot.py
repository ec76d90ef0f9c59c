"""The picture of a comparison: what each placement and split makes of the slowest GPU, and every GPU's load."""

from pathlib import Path

import numpy as np

from shadowprice.errors import ExpertError
from shadowprice.experts.compare import Comparison, gpu_loads
from shadowprice.extras import needs

COLOURS = {"even": "#b0b7c3", "random": "#7c879b", "optimal": "#1f6f8b"}


def write_plot(found: Comparison, path: Path) -> None:
    """Bars of max / mean with the bound, and GPU loads of the first layer over batches as heat maps (.svg, .png).

    The same comparison gives the same bytes. Raises ExpertError where the file cannot be written.
    """
    needs("report")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "shadowprice"
    figure = Figure(figsize=(9, 6), layout="constrained")
    bars, *maps = figure.subplot_mosaic([["bars", "bars"], ["contiguous", "ours"]]).values()
    names = list(dict.fromkeys(row.placement for row in found.rows))
    for k, (dispatch, colour) in enumerate(COLOURS.items()):
        values = [found.row(name, dispatch).max_over_mean for name in names]
        bars.bar(np.arange(len(names)) + (k - 1) * 0.27, values, 0.25, color=colour, label=f"{dispatch} split")
    bars.axhline(found.rows[0].bound, color="black", linewidth=1, linestyle="--", label="bound: no placement, no split")
    bars.set_xticks(range(len(names)), names)
    bars.set_ylim(0.9)
    bars.set_ylabel("slowest GPU / mean")
    bars.legend(frameon=False)
    before, after = gpu_loads(found, "contiguous", "even"), gpu_loads(found, "shadowprice for optimal", "optimal")
    low, high = min(before.min(), after.min()), max(before.max(), after.max())
    for axes, loads, title in zip(maps, (before, after), ("contiguous", "shadowprice, optimal split"), strict=True):
        image = axes.imshow(loads.T, aspect="auto", cmap="RdBu_r", vmin=2 - max(high, 2 - low), vmax=max(high, 2 - low))
        axes.set(title=title, xlabel="batch", ylabel="GPU")
    figure.colorbar(image, ax=maps, label=f"load / mean, layer {found.judged.layer_ids[0]}")
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})
    except (OSError, ValueError) as error:
        raise ExpertError(f"{path}: cannot be written: {error}") from error
