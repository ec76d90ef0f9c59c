"""Plots as inline SVG that takes its colours and its font from the page."""

import io
import re
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours are drawn as these stand-ins and become CSS variables, so that one SVG serves light, dark and print.
INK, MUTED, GRID, BEST, TODAY, AGED, OTHER, BOUND = (f"#0102{i:02x}" for i in range(8))
VARIABLES = dict(
    zip(
        (INK, MUTED, GRID, BEST, TODAY, AGED, OTHER, BOUND),
        ("ink", "muted", "grid", "best", "today", "aged", "other", "bound"),
        strict=True,
    )
)
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: searchable, read aloud, in the page's font
    "svg.hashsalt": "shadowprice",  # the same plot gives the same bytes
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "path.simplify": True,
}


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty plot of so many inches; call it, and draw, inside `matplotlib.rc_context(STYLE)`."""
    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def inline_svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an `<svg>` element to stand in a page: titled for screen readers, its ids prefixed with `name`."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    svg = re.sub(r"font: ([^;\"]*?)px [^;\"]*", r"font: \1px var(--font)", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", svg)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, f"var(--{variable})")
    attributes, body = svg[len("<svg") : svg.index(">")], svg[svg.index(">") + 1 :]
    view_box = re.search(r'viewBox="[^"]*"', attributes)
    assert view_box is not None  # matplotlib always writes one; the page sets the size
    # the namespaces are not needed inside HTML, and nothing in the page should look like an address
    body = body.replace("xlink:href", "href")
    return f'<svg {view_box[0]} role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>{body}'
