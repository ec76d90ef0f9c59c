"""What the router counts of requests that ended: totals, histograms, percentiles of the last minutes."""

from collections import Counter, deque
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.router.record.finished import FinishedRequest

WINDOW_S = 300.0
MOST_RECENT = 20_000
SHARES = np.array([0.5, 0.9, 0.99])
MOST_COUNTED = 4_000  # the latest of them, for percentiles: a busy router asks once a second
RATE_WINDOW_S = 10
SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
STEP_SECONDS = (
    0.002,
    0.005,
    0.01,
    0.015,
    0.02,
    0.025,
    0.03,
    0.04,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
)
LONG_SECONDS = (
    0.1,
    0.3,
    0.5,
    0.8,
    1.0,
    1.5,
    2.0,
    2.5,
    5.0,
    10.0,
    15.0,
    20.0,
    30.0,
    40.0,
    50.0,
    60.0,
    120.0,
    240.0,
    480.0,
)
TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
BUCKETS: dict[str, tuple[float, ...]] = {
    "ttft_s": SECONDS,
    "tpot_s": STEP_SECONDS,
    "e2e_s": LONG_SECONDS,
    "queue_s": LONG_SECONDS,
    "prompt_tokens": TOKENS,
    "output_tokens": TOKENS,
}


# one value for each histogram, negative where there is none
Values = tuple[float, float, float, float, int, int]


class Told(NamedTuple):
    """What one process's statistics have counted since they last told another's."""

    ended: list[Values]
    refused: Counter[str]
    responses: Counter[str]
    retries: int
    truncated: int
    tokens: int


class Histogram:
    """Counts per bucket, the last one without an upper end."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = np.zeros(len(bounds) + 1, np.int64)
        self.sum = 0.0

    def add(self, values: FloatArray) -> None:
        """More values; negative ones stand for none."""
        values = values[values >= 0]
        self.counts += np.bincount(np.searchsorted(self.bounds, values), minlength=len(self.counts))
        self.sum += float(values.sum())

    def to_json(self) -> dict[str, Any]:
        """Upper bounds, counts per bucket, sum."""
        return {"buckets": list(self.bounds), "counts": self.counts.tolist(), "sum": self.sum}


class Statistics:
    """Since start, and of the last WINDOW_S."""

    def __init__(self) -> None:
        self._histograms = {name: Histogram(bounds) for name, bounds in BUCKETS.items()}
        self._ends: Counter[int] = Counter()  # by the second
        self._unsorted: list[Values] = []  # not yet in the histograms
        self.recent: deque[tuple[float, float, float, float]] = deque(maxlen=MOST_RECENT)  # end, ttft, tpot, e2e [s]
        self.refused: Counter[str] = Counter()
        self.responses: Counter[str] = Counter()
        self.retries_total = self.truncated_total = self.tokens_total = 0

    def note(self, row: FinishedRequest, now_s: float) -> None:
        """A request ended."""
        stop = row.stop
        cut = stop == "truncated"
        self.responses["aborted" if cut or stop == "client_abort" else f"{row.status // 100}xx"] += 1
        self.truncated_total += cut
        if not row.counts or stop == "refused":
            return
        self.tokens_total += row.output_tokens
        if stop != "finished" or row.status >= 400:
            return
        ttft_s = -1.0 if row.ttft_s is None else row.ttft_s
        tpot_s = -1.0 if row.tpot_s is None else row.tpot_s
        self._unsorted.append((ttft_s, tpot_s, row.e2e_s, row.queue_s, row.prompt_tokens, row.output_tokens))
        self.recent.append((now_s, ttft_s, tpot_s, row.e2e_s))
        self._ends[int(now_s)] += 1

    def note_refusal(self, reason: str) -> None:
        """A request was refused."""
        self.refused[reason] += 1

    def note_turned_away(self, status: int, reason: str) -> None:
        """What never became a request was refused."""
        self.refused[reason] += 1
        self.responses[f"{status // 100}xx"] += 1

    def note_retry(self) -> None:
        """A request is tried once more."""
        self.retries_total += 1

    def _new(self) -> list[Values]:
        """What ended since the last call."""
        while len(self._ends) > 2 * RATE_WINDOW_S:
            del self._ends[min(self._ends)]
        unsorted, self._unsorted = self._unsorted, []
        return unsorted

    def give(self) -> Told:
        """What was counted since the last call, for another process's statistics; nothing of it is kept here."""
        told = Told(
            self._new(), self.refused, self.responses, self.retries_total, self.truncated_total, self.tokens_total
        )
        self.refused, self.responses = Counter(), Counter()
        self.retries_total = self.truncated_total = self.tokens_total = 0
        return told

    def take(self, told: Told, now_s: float) -> None:
        """What another process has counted, about now."""
        self._unsorted += told.ended
        self.recent.extend((now_s, ttft_s, tpot_s, e2e_s) for ttft_s, tpot_s, e2e_s, *_ in told.ended)
        self.refused.update(told.refused)
        self.responses.update(told.responses)
        self.retries_total += told.retries
        self.truncated_total += told.truncated
        self.tokens_total += told.tokens

    def histograms(self) -> dict[str, Histogram]:
        """Of all requests since start; sorted in here, not while a request waits."""
        unsorted = self._new()
        if unsorted:
            for histogram, values in zip(self._histograms.values(), np.array(unsorted).T, strict=True):
                histogram.add(values)
        return self._histograms

    def ends_per_s(self, now_s: float) -> float:
        """Requests that ended well per second, over the last RATE_WINDOW_S whole seconds and the one that runs."""
        first = int(now_s) - RATE_WINDOW_S
        return sum(self._ends[second] for second in range(first, int(now_s) + 1)) / (now_s - first)

    def percentiles(self, now_s: float, window_s: float = WINDOW_S) -> dict[str, dict[str, float | int | None]]:
        """p50, p90, p99 and count of each latency over the last seconds."""
        rows = []
        for row in islice(reversed(self.recent), MOST_COUNTED):
            if row[0] < now_s - window_s:
                break
            rows.append(row)
        values = np.array(rows).reshape(-1, 4)
        return {name: _percentiles(values[:, 1 + i]) for i, name in enumerate(("ttft_s", "tpot_s", "e2e_s"))}


def _percentiles(values: Any) -> dict[str, float | int | None]:
    values = values[values >= 0]
    if not len(values):
        return {"p50": None, "p90": None, "p99": None, "count": 0}
    p50, p90, p99 = np.sort(values)[np.ceil(len(values) * SHARES).astype(int) - 1].tolist()
    return {"p50": p50, "p90": p90, "p99": p99, "count": len(values)}
