"""Value of each policy as a bar, the bound as a line."""

import matplotlib as mpl

from shadowprice.audit.finding import Finding
from shadowprice.audit.words import number
from shadowprice.report.figure import BOUND, INK, STYLE, inline_svg, new_axes
from shadowprice.report.plots.lines import label, line_styles


def bars(finding: Finding, name: str) -> str:
    """A bar per certificate, and the bound where one is proved."""
    certificates = finding.certificates
    first = certificates[0]
    colours = line_styles(finding)
    with mpl.rc_context(STYLE):
        figure, axes = new_axes(9.6, 0.95 + 0.34 * len(certificates))
        places = range(len(certificates))
        drawn = axes.barh(places, [c.value for c in certificates], height=0.68)
        for bar, certificate in zip(drawn, certificates, strict=True):
            bar.set_color(colours[certificate.policy]["color"])
        axes.bar_label(drawn, [number(c.value) for c in certificates], padding=4, color=INK)
        axes.set_yticks(places, [label(finding, c.policy) for c in certificates])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.1)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{first.objective} [{first.unit}]")
        if first.bound is not None:
            axes.axvline(first.bound, color=BOUND, linestyle="--", linewidth=1.6)
            word = "below" if first.sense == "cost" else "above"
            text = f"bound {number(first.bound)}: no policy gets {word}"
            axes.set_title(f"┆ {text}", color=BOUND)
        return inline_svg(figure, name, f"{first.objective} of each policy in {first.unit}, with the bound")
