"""Capacity: headroom as a gauge."""

import matplotlib as mpl

from shadowprice.audit.finding import Finding
from shadowprice.audit.words import percent
from shadowprice.report.figure import BEST, BOUND, MUTED, STYLE, TODAY, inline_svg, new_axes


def headroom_gauge(finding: Finding, name: str) -> str:
    """The load on a scale that ends beyond the stable rate, with what is left over."""
    at = finding.load
    assert at is not None  # the page asks only for cases that have a rate
    left = 1 - at
    text = f"headroom {percent(left)}" if left >= 0 else f"overloaded by {percent(-left)}"
    with mpl.rc_context(STYLE):
        figure, axes = new_axes(9.6, 1.35)
        end = max(1.25, 1.1 * at)
        axes.barh([0], [end], color="none", edgecolor=MUTED, height=0.6, linewidth=0.7)
        axes.barh([0], [at], color=BEST if at < 1 else TODAY, height=0.6)
        axes.axvline(1, color=BOUND, linestyle="--", linewidth=1.6)
        axes.set_xlim(0, end)
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("load: arrivals over the stable rate; beyond the dashed line the queue grows without end")
        axes.set_title(text[0].upper() + text[1:])
        return inline_svg(figure, name, f"Gauge of the load, {at:.2f} of the stable rate: {text}")
