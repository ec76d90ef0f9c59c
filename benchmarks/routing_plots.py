"""The plots of docs/routing.md: `python benchmarks/routing_plots.py TRACE...` writes docs/routing-*.svg.

The traces are two files or names, a chat trace and a long-context one.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from shadowprice.routing import POLICIES
from shadowprice.simulate.barrier import Ranks, simulate_barrier
from shadowprice.simulate.routing_study import IMMEDIATE, SLOTS_BIND, Row, study
from shadowprice.workload import read_trace

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "theorems"))
from routing_growth import CASES, growth, root  # noqa: E402

OURS = ("bf_io", "priced_holes")
WORKERS = (8, 16, 64)
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "shadowprice",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "figure.constrained_layout.use": True,
}
COLORS = dict.fromkeys(POLICIES, "#9a9a9a") | {"least_kv": "#5b7fa6", "bf_io": "#c2410c", "priced_holes": "#e08e45"}


def save(figure: Figure, name: str) -> None:
    """Write docs/routing-NAME.svg, the same bytes for the same plot."""
    path = ROOT / "docs" / f"routing-{name}.svg"
    figure.savefig(path, format="svg", metadata={"Date": None})
    print(path.relative_to(ROOT))


def idle_shares(rows: Sequence[Row]) -> None:
    """One panel per trace and regime: idle share by policy, for each number of workers."""
    traces = list(dict.fromkeys(row.trace for row in rows))
    figure = Figure(figsize=(9, 3.2 * len(traces)))
    axes = figure.subplots(len(traces), 2, squeeze=False, sharey="row")
    for panels, trace in zip(axes, traces, strict=True):
        for panel, regime in zip(panels, (SLOTS_BIND, IMMEDIATE), strict=True):
            for k, name in enumerate(POLICIES):
                cells = [r for r in rows if (r.trace, r.regime, r.policy) == (trace, regime, name)]
                at = np.arange(len(cells)) + (k - len(POLICIES) / 2) * 0.075
                panel.bar(at, [100 * r.idle_share for r in cells], 0.07, color=COLORS[name], label=name)
            panel.set_xticks(range(len(WORKERS)), [f"G = {g}" for g in WORKERS])
            panel.set_title(f"{trace}, {regime}", loc="left")
            panel.set_ylabel("idle share [%]")
            panel.grid(axis="x", visible=False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    shown = {"others": handles[0]} | {n: h for n, h in zip(labels, handles, strict=True) if n in (*OURS, "least_kv")}
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=4, frameon=False)
    save(figure, "idle")


def over_time(trace_name: str) -> None:
    """Load per worker over time when slots bind: a heuristic beside ours."""
    trace = read_trace(trace_name)
    figure = Figure(figsize=(9, 3))
    panels = figure.subplots(1, 2, sharey=True)
    for panel, name in zip(panels, ("round_robin", "bf_io"), strict=True):
        run = simulate_barrier(
            trace, POLICIES[name](), Ranks(workers=16, slots=64), pool=64, saturated=True, samples=512
        )
        loads = run.load_tokens / 1e6
        panel.fill_between(run.time_s, loads.min(axis=1), loads.max(axis=1), color=COLORS[name], alpha=0.35, lw=0)
        panel.plot(run.time_s, loads.max(axis=1), color=COLORS[name], lw=0.8, label="maximum: what a step waits for")
        panel.plot(run.time_s, loads.mean(axis=1), color="black", lw=0.8, label="mean: what it would take if even")
        panel.set_title(f"{name}, 16 workers of 64 slots", loc="left")
        panel.set_xlabel("time [s]")
    panels[0].set_ylabel("KV per worker [million tokens]")
    panels[0].legend(frameon=False)
    save(figure, "load")


def growth_plot() -> None:
    """Improvement over round robin against sqrt(B log G)."""
    figure = Figure(figsize=(4.5, 3.2))
    axes = figure.subplots()
    x, y = [root(*case) for case in CASES], growth(CASES)
    axes.scatter(x, y, color=COLORS["bf_io"], zorder=3)
    for case, a, b in zip(CASES, x, y, strict=True):
        axes.annotate(f"{case[0]} x {case[1]}", (a, b), xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.plot([0, max(x)], [0, max(x)], color="#9a9a9a", ls="--", label=r"sqrt(B log G)")
    axes.set(xlabel="sqrt(B log G), points are G x B", ylabel="imbalance, round robin / BF-IO", xlim=0, ylim=0)
    axes.legend(frameon=False, loc="lower right")
    save(figure, "growth")


def main() -> None:
    """Draw all plots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("traces", nargs="+", help="trace files or public traces; the last one is drawn over time")
    names = parser.parse_args().traces
    with mpl.rc_context(STYLE):
        idle_shares(list(study([read_trace(name) for name in names], WORKERS)))
        over_time(names[-1])
        growth_plot()


if __name__ == "__main__":
    main()
