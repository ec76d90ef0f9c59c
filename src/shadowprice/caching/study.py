"""What each policy saves at each size, what could be saved at most, and what one more unit of size is worth."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shadowprice.caching.from_trace import PrefillCost, accesses_of
from shadowprice.caching.optimum import hindsight
from shadowprice.caching.policies import POLICIES
from shadowprice.errors import FleetError, PolicyError, TraceError
from shadowprice.fleet import Fleet
from shadowprice.fleet.names import did_you_mean
from shadowprice.printed import Printed
from shadowprice.workload.trace import Trace

GIB = 1024**3
SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # of the footprint
TODAY = "lru"


@dataclass(frozen=True)
class CacheRow:
    """One policy at one size.

    size_share: of the footprint (all blocks that the trace has). saved_s: seconds of prefill that hits save.
    saved_share: of all that prompts would take with nothing cached; bound_share: what no policy can save more than;
    found_share: what a plan that knows the future saves, replayed.
    """

    trace: str
    policy: str
    size_bytes: int
    size_share: float
    saved_s: float
    saved_share: float
    bound_share: float
    found_share: float


@dataclass(frozen=True)
class MemoryPrice:
    """What one more GiB would save at best, at this size: seconds of prefill per GiB and hour (dual of the bound)."""

    size_bytes: int
    seconds_per_gib_hour: float


@dataclass(frozen=True)
class CacheStudy(Printed):
    """The rows of `compare_policies`, its prices, and the footprint and block size [bytes] that shares refer to."""

    rows: tuple[CacheRow, ...]
    prices: tuple[MemoryPrice, ...]
    footprint_bytes: int
    block_bytes: int
    recompute_s: float

    @property
    def advice(self) -> str:
        """Which policy where, and from which size on more memory gains nothing."""
        policies = list(dict.fromkeys(row.policy for row in self.rows))
        worst = {
            policy: min(
                row.saved_s / max(self._best_s(row.size_bytes), 1e-12) for row in self.rows if row.policy == policy
            )
            for policy in policies
        }
        best = max(worst, key=lambda policy: worst[policy])
        words = f"{best} is the safest choice: nowhere below {worst[best]:.0%} of the best policy at that size."
        enough = [price.size_bytes for price in self.prices if price.seconds_per_gib_hour < 1e-9]
        if enough:
            words += f" From {_size(enough[0])} on, more memory saves nothing."
        return words

    def to_json(self) -> dict[str, Any]:
        """As `shadowprice cache --json` prints it."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "prices": [asdict(price) for price in self.prices],
            "footprint_bytes": self.footprint_bytes,
            "block_bytes": self.block_bytes,
            "recompute_s": self.recompute_s,
            "advice": self.advice,
        }

    def __rich__(self) -> RenderableType:
        sizes = list(dict.fromkeys(row.size_bytes for row in self.rows))
        table = Table("share of prefill seconds saved", *(_size(size) for size in sizes), box=None, pad_edge=False)
        for policy in dict.fromkeys(row.policy for row in self.rows):
            of_policy = {row.size_bytes: row for row in self.rows if row.policy == policy}
            name = f"{policy} (today)" if policy == TODAY else policy
            table.add_row(name, *(f"{of_policy[size].saved_share:.2%}" for size in sizes))
        first = {row.size_bytes: row for row in reversed(self.rows)}
        table.add_row("future known, replayed", *(f"{first[size].found_share:.2%}" for size in sizes))
        table.add_row("any: bound", *(f"{first[size].bound_share:.2%}" for size in sizes))
        table.add_row("one more GiB [s/h]", *(f"{price.seconds_per_gib_hour:.3g}" for price in self.prices))
        for column in table.columns[1:]:
            column.justify = "right"
        head = (
            f"{self.rows[0].trace}: {_size(self.footprint_bytes)} of blocks ({_size(self.block_bytes)} each), "
            f"{self.recompute_s:,.0f} s of prefill with nothing cached\n"
        )
        return Group(Text(head), table, Text(f"-> {self.advice}"))

    def _best_s(self, size_bytes: int) -> float:
        return max(row.saved_s for row in self.rows if row.size_bytes == size_bytes)


def compare_policies(
    trace: Trace,
    fleet: Fleet,
    sizes_bytes: Sequence[int] = (),
    shares: Sequence[float] = SHARES,
    policies: Sequence[str] = (),
    seed: int = 0,
) -> CacheStudy:
    """Run the trace through one cache under each policy, at each size in bytes, or share of the footprint where none.

    One cache is before all workers (of their hosts, or of one worker that serves the whole trace). A block's miss
    costs its prefill on the fleet, attention to what is before it included. policies: names; all where none.
    Raises TraceError where the trace has neither prefix hashes nor sessions, or a size is none; FleetError where the
    fleet has no model to tell the size of a block; PolicyError naming an unknown policy.
    """
    names = list(policies) or list(POLICIES)
    for name in names:
        if name not in POLICIES:
            raise PolicyError(f"unknown caching policy {name!r}; {did_you_mean(name, POLICIES)}")
    accesses, block_tokens = accesses_of(trace, PrefillCost.of_fleet(fleet))
    if fleet.model is None:
        raise FleetError(f"{fleet.name}: names no model, so the size of a KV block is not known; add its [model]")
    block_bytes = int(fleet.model.kv_bytes_per_token(fleet.kv_cache_dtype) * block_tokens)
    footprint = accesses.footprint * block_bytes
    sizes = list(sizes_bytes) or [int(share * footprint) for share in shares]
    span_h = max(trace.span_s, 1e-9) / 3600
    rows, prices = [], []
    for size in sizes:
        capacity = size // block_bytes
        if capacity < 1:
            raise TraceError(f"a cache of {_size(size)} holds no block of {_size(block_bytes)}; expected a larger one")
        within = hindsight(accesses, capacity)
        whole_s = accesses.recompute_s
        for name in names:
            saved_s = POLICIES[name](accesses, capacity, np.random.default_rng(seed)).saved_total_s
            shown = (saved_s / whole_s, within.bound_s / whole_s, within.found_s / whole_s)
            rows.append(CacheRow(trace.name, name, size, size / footprint, saved_s, *shown))
        prices.append(MemoryPrice(size, float(within.price_s.sum()) * GIB / block_bytes / span_h))
    return CacheStudy(tuple(rows), tuple(prices), footprint, block_bytes, accesses.recompute_s)


def _size(size_bytes: int) -> str:
    for unit, scale in (("TiB", 1024**4), ("GiB", GIB), ("MiB", 1024**2)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.3g} {unit}"
    return f"{size_bytes} bytes"
