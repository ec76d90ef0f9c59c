"""How many workers to have next: what production does, and a plan by the closed form."""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray, IntArray


@dataclass
class Reactive:
    """Threshold autoscaling, as Kubernetes' horizontal autoscaler does it, on utilisation and queue depth.

    Wants (utilisation * workers + queued work / drain_s) / target workers, asks for more at once, and for fewer only
    when it wanted fewer all through `cooldown_s`; a change below `tolerance` is left alone. Knows nothing of what is
    to come, so it is late by the time a worker takes to start.
    """

    target: float = 0.7
    drain_s: float = 60.0
    cooldown_s: float = 300.0
    tolerance: float = 0.1

    def __post_init__(self) -> None:
        self._wanted: list[tuple[float, int]] = []

    def decide(self, now_s: float, workers: int, busy: float, queued_s: float) -> int:
        """Workers to have, when so many are there or on their way.

        busy: workers kept busy since the last decision; queued_s: seconds of work that wait.
        """
        load = (busy + queued_s / self.drain_s) / self.target
        want = workers if abs(load / workers - 1) <= self.tolerance else max(int(np.ceil(load)), 1)
        self._wanted = [(t, n) for t, n in self._wanted if t > now_s - self.cooldown_s] + [(now_s, want)]
        return max(want, min(workers, max(n for _, n in self._wanted)))


def planned(work_s: FloatArray, period_s: float, load: float) -> IntArray:
    """Workers of each period whose work [s] is known: the least that keep the fleet at or below that load.

    At load 1 it is the least that can be stable in each period (`stability.py`); what is left below 1 absorbs swings
    inside a period and keeps latencies within their targets.
    """
    return np.maximum(np.ceil(work_s / (period_s * load)), 1).astype(np.int64)
