"""Confidence intervals of what a trace shows, although its arrivals are autocorrelated: batch means over time.

The trace is cut into equal windows of time. What happens inside a window may depend on itself as it likes; the windows
must be nearly independent of each other. So their number is halved until the correlation of neighbouring windows
(their lag-1 autocorrelation) is small. Means over windows then have Student's t, ratios of sums the same by the delta
method (the ratio is linearised at its value). Source: batch means, e.g. Law, "Simulation Modeling and Analysis", 9.5.3.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from shadowprice.arrays import FloatArray, IntArray

Interval = tuple[float, float]

CONFIDENCE = 0.95
MOST_WINDOWS, FEWEST_WINDOWS = 64, 8
REQUESTS_PER_WINDOW = 10  # a window with fewer says little
INDEPENDENT = 0.2  # a lag-1 autocorrelation up to this is taken for none


@dataclass(frozen=True)
class Windows:
    """Equal windows of `seconds` each; window[i] is the one of request i, in [0, count).

    correlation: of neighbouring windows' sums; above INDEPENDENT even the fewest windows depend on each other, and
    intervals are too narrow: the trace swings more slowly than it is long.
    """

    window: IntArray
    count: int
    seconds: float
    correlation: float

    def sums(self, values: npt.ArrayLike) -> FloatArray:
        """Sum of a value per request over each window."""
        return _sums(self.window, np.asarray(values, dtype=np.float64), self.count)


def windows(arrival_s: FloatArray, values: FloatArray) -> Windows | None:
    """Windows whose sums of `values` hardly depend on each other; None where the trace is too short to cut."""
    span_s = float(arrival_s[-1] - arrival_s[0]) if len(arrival_s) else 0.0
    if span_s <= 0 or len(arrival_s) < FEWEST_WINDOWS * REQUESTS_PER_WINDOW:
        return None
    count = MOST_WINDOWS
    while True:
        window = np.minimum((arrival_s - arrival_s[0]) * (count / span_s), count - 1).astype(np.int64)
        correlation = _lag_one(_sums(window, values, count))
        enough = len(arrival_s) >= count * REQUESTS_PER_WINDOW
        if count == FEWEST_WINDOWS or (enough and correlation <= INDEPENDENT):
            return Windows(window, count, span_s / count, correlation)
        count //= 2


def mean_interval(sums: FloatArray, seconds: float) -> Interval:
    """Interval of a rate per second from its sums over windows of so many seconds."""
    half = _t(len(sums)) * float(sums.std(ddof=1)) / len(sums) ** 0.5
    middle = float(sums.mean())
    return (max(middle - half, 0.0) / seconds, (middle + half) / seconds)


def ratio_interval(numerator: FloatArray, denominator: FloatArray) -> Interval:
    """Interval of sum(numerator) / sum(denominator) from their sums over windows."""
    ratio = float(numerator.sum() / denominator.sum())
    off = numerator - ratio * denominator
    half = _t(len(off)) * float(np.sqrt(len(off) / (len(off) - 1) * np.sum(off**2))) / float(denominator.sum())
    return (max(ratio - half, 0.0), ratio + half)


def quantile_interval(values: FloatArray, q: float, cut: Windows) -> Interval:
    """Interval of the q-quantile of one value per request: that of the share below it, read off the values (Woodruff).

    The share of requests at or below the sample's quantile is a ratio of sums over windows; its interval, centred on
    q and no shorter than that of as many independent values, is turned back into values. NaN values are left out.
    Infinite where the interval reaches share 1.
    """
    known = ~np.isnan(values)
    below = values <= np.quantile(values[known], q)
    low, high = ratio_interval(cut.sums(below & known), cut.sums(known))
    half = max((high - low) / 2, _t(cut.count) * (q * (1 - q) / int(known.sum())) ** 0.5)
    least, most = q - half, q + half
    top = float("inf") if most >= 1 else float(np.quantile(values[known], most))
    return (float(np.quantile(values[known], max(least, 0.0))), top)


def _sums(window: IntArray, values: FloatArray, count: int) -> FloatArray:
    return np.bincount(window, weights=values, minlength=count).astype(np.float64)


def _t(count: int) -> float:
    return float(student.ppf((1 + CONFIDENCE) / 2, count - 1))


def _lag_one(sums: FloatArray) -> float:
    """Correlation of neighbours; 0 where nothing varies."""
    off = sums - sums.mean()
    total = float(off @ off)
    return float(off[1:] @ off[:-1]) / total if total > 0 else 0.0
