"""Every routing policy side by side on traces, as a result that prints itself."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shadowprice.errors import PolicyError
from shadowprice.fleet.names import did_you_mean
from shadowprice.printed import Printed
from shadowprice.routing.policies import POLICIES
from shadowprice.simulate.routing_study import Row, Setting, study
from shadowprice.workload.trace import Trace

POWER = (
    "Energy: 100 W idle, 400 W at the highest token rate, exponent 0.7. arXiv 2601.17855 reports 28 % less energy for "
    "BF-IO, in its own experiments under this power model."
)

Progress = Callable[[Iterable[Row], int], Iterable[Row]]


@dataclass(frozen=True)
class RoutingBench(Printed):
    """What routing policies do behind a step barrier: a table for each trace, number of workers and regime.

    Parameters
    ----------
    rows : tuple of Row
        One per trace, number of workers, regime ("slots_bind", "immediate") and policy, in this order, with idle share,
        throughput, latency, energy and bounds (docs/routing.md).
    """

    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the rows as plain JSON values."""
        return {"rows": [row.to_json() for row in self.rows]}

    def __rich__(self) -> RenderableType:
        cells: dict[tuple[str, int, str], list[Row]] = {}
        for row in self.rows:
            cells.setdefault((row.trace, row.workers, row.regime), []).append(row)
        parts = [part for cell in cells.values() for part in (_table(cell), Text(""))]
        return Group(*parts, Text(POWER))


def bench_routing(
    traces: Trace | Sequence[Trace],
    workers: int | Sequence[int] = (8, 16, 64),
    *,
    slots: int | None = None,
    load: float = 0.9,
    pool: int = 64,
    policies: Sequence[str] | None = None,
    progress: Progress = lambda rows, total: rows,
) -> RoutingBench:
    """Run routing policies over traces behind the step barrier of data-parallel workers, in both regimes.

    Decode only: a step takes 20 ms and 0.1 us per KV token of the worker that holds most, and all wait for it.

    Parameters
    ----------
    traces : Trace or sequence of Trace
        What arrives; each is laid end to end four times.
    workers : int or sequence of int
        Numbers of data-parallel workers, one block each.
    slots : int, optional
        Requests that a worker runs at once; by default 64, and 32 from 64 workers on.
    load : float
        Arrivals on immediate dispatch, as a share of what order of arrival sustains, in (0, 1].
    pool : int
        How many of the oldest requests are offered when slots bind.
    policies : sequence of str, optional
        Names in `routing.POLICIES`; all by default.
    progress : callable, optional
        Wraps the rows as they are made; called with them and their number.

    Returns
    -------
    RoutingBench
        A row per trace, number of workers, regime and policy; prints itself as tables.

    Raises
    ------
    PolicyError
        For a policy that there is not.
    TraceError
        For traces without requests, or too short to reach a steady part.

    References
    ----------
    The setting is that of "Balance-Future with integer optimization", arXiv 2601.17855.

    Examples
    --------
    >>> import numpy as np, shadowprice as sp
    >>> trace = sp.workload.PRESETS["azure-conv-like"](np.random.default_rng(0), requests=2_000)
    >>> found = sp.bench_routing(trace, 2, slots=16, policies=["least_kv", "priced_holes"])
    >>> [row.policy for row in found.rows if row.regime == "immediate"]
    ['least_kv', 'priced_holes']
    """
    given = [traces] if isinstance(traces, Trace) else list(traces)
    counts = [workers] if isinstance(workers, int) else list(workers)
    names = list(POLICIES) if policies is None else list(policies)
    require_known(names)
    rows = study(given, counts, slots=slots, policies=names, setting=Setting(load, pool))
    return RoutingBench(tuple(progress(rows, 2 * len(given) * len(counts) * len(names))))


def require_known(policies: Iterable[str]) -> None:
    """Raise PolicyError, with the nearest name, for a routing policy that there is not."""
    for name in policies:
        if name not in POLICIES:
            raise PolicyError(f"unknown routing policy {name!r}; {did_you_mean(name, POLICIES)}")


def _table(rows: Sequence[Row]) -> Table:
    first = rows[0]
    base = next((row for row in rows if row.policy == "least_kv"), first)
    title = f"{first.trace}: {first.workers} workers of {first.slots} slots, {first.regime}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("policy", no_wrap=True)
    heads = ("idle", "imbalance", "tokens/s", "TPOT", "TTFT p99", "J/token", f"energy vs {base.policy}", "time / bound")
    for head in (*heads, "most passed over"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        energy = row.energy_j_per_token / base.energy_j_per_token - 1
        passes = f"{row.passes} (bound {row.most_passes})" if row.most_passes is not None else f"{row.passes}"
        table.add_row(
            row.policy,
            _known(row.idle_share, "{:.2f} %", 100),
            _known(row.imbalance_tokens, "{:,.0f}"),
            _known(row.throughput_tok_s, "{:,.0f}"),
            _known(row.tpot_s, "{:.2f} ms", 1000),
            _known(row.ttft_p99_s, "{:.2f} s"),
            _known(row.energy_j_per_token, "{:.4f}"),
            _known(energy, "{:+.1f} %", 100),
            f"{row.barrier_s / row.barrier_bound_s:.3f}",
            passes,
        )
    return table


def _known(value: float, form: str, scale: float = 1.0) -> str:
    """`none` where there is no number: no steady part in so short a run, no TPOT without a second token."""
    return form.format(scale * value) if isfinite(value) else "none"
