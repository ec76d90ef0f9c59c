"""What a cache is asked for, what a miss costs, and the program that decides in hindsight what to keep."""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import TraceError
from shadowprice.workload.trace import Ragged


@dataclass(frozen=True)
class Accesses:
    """Requests for chains of items, each item useful only while all those before it in its chain are cached.

    time_s: float64 [n], not falling. chain: per request the items that it needs, root first, each below the one before
    it (items are numbered 0, 1, ...). parent: int64 [items], the item above, -1 for a root. size: int64 [items] >= 1,
    in any unit (bytes, blocks). cost_s: float64 [items] >= 0, the seconds that making the item takes where it is not
    cached. label: int64 [n] >= 0, a class of the request that forecasts of reuse may use once it has ended, 0 for
    none. Items that stand alone (an image and its embedding, say) are chains of one.

    The cache holds a set of items, closed under parents, of at most C units of size after each request; what a request
    itself computes is held beside it until it ends. A request saves the cost of the longest cached prefix of its chain.
    Which set to keep, with every request known, is the program (sets of intervals between two uses of an item)

        y[i, k] = 1 iff item i is kept from its k-th use to its next, from request u to request v      (binary)
        maximise    sum_i cost_i sum_k y[i, k]                                                         [seconds]
        subject to  sum over (i, k) with u <= t < v of size_i y[i, k] <= C          after every request t
                    y[i, k] <= y[parent of i, m]    for every interval m of the parent inside interval k of i

    (caching.optimum). The parent's intervals within one of its child's cover it without a gap: who uses the child uses
    the parent. Without the last row it is FOO's (Berger, Beckmann, Harchol-Balter, SIGMETRICS 2018).

    Raises TraceError naming the field, and the request or item, where an array has the wrong shape or value.
    """

    time_s: FloatArray
    chain: Ragged
    parent: IntArray
    size: IntArray
    cost_s: FloatArray
    label: IntArray

    def __post_init__(self) -> None:
        n, items = len(self.time_s), len(self.parent)
        for name, length in (("chain", n), ("label", n), ("size", items), ("cost_s", items)):
            if len(getattr(self, name)) != length:
                raise TraceError(f"accesses: {name} has {len(getattr(self, name))} rows; expected {length}")
        number = np.arange(items)
        _require(
            "parent", (self.parent >= -1) & (self.parent < number), self.parent, "an item numbered before it, or -1"
        )
        _require("size", self.size >= 1, self.size, "a whole number >= 1")
        _require("cost_s", (self.cost_s >= 0) & np.isfinite(self.cost_s), self.cost_s, "a finite number >= 0")
        _require("label", self.label >= 0, self.label, "a whole number >= 0")
        _require(
            "time_s", np.diff(self.time_s, prepend=-np.inf) >= 0, self.time_s, "a time no earlier than the one before"
        )
        values = self.chain.values
        if len(values):
            _require("chain", (values >= 0) & (values < items), values, f"an item below {items}")
            above = np.concatenate([[-1], values[:-1]])
            starts = self.chain.offsets[:-1]
            above[starts[np.diff(self.chain.offsets) > 0]] = -1
            _require("chain", self.parent[values] == above, values, "an item whose parent stands before it")

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def footprint(self) -> int:
        """Size of all items together."""
        return int(self.size.sum())

    @property
    def recompute_s(self) -> float:
        """Seconds that all requests cost with nothing cached."""
        return float(self.cost_s[self.chain.values].sum())


def _require(name: str, fits: np.ndarray, values: np.ndarray, accepted: str) -> None:
    if not fits.all():
        row = int(np.argmin(fits))
        raise TraceError(f"accesses: {name}[{row}] is {values[row]}; expected {accepted}")
