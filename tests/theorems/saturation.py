"""What a worker really sustains, by simulation: the counterpart of the closed form in `capacity/stability.py`.

Two ways that agree (tests/theorems/test_capacity_rate.py). `saturated_load`: all requests are there from the start, so
the worker always has somebody to admit; the work it then does per second is what it can do. `growth_load`: arrivals are
sped up until the queue grows. Both measure load in charges (`capacity.stability.charges_s`), not in requests: 1 is the
closed form, and which requests happen to be in the window hardly matters.
"""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.capacity.interval import Interval, mean_interval
from shadowprice.capacity.stability import charges_s
from shadowprice.fleet.worker import Worker
from shadowprice.scheduling.surface import SchedulingPolicy
from shadowprice.simulate.engine import simulate
from shadowprice.workload.operations import scale_rate, shift
from shadowprice.workload.trace import Trace

WARM_UP = 0.2  # of a run, left out
NO_GROWTH = 0.005  # work per second that may queue up and still count as none
PARTS = 16  # of the rest, whose scatter gives the interval


@dataclass(frozen=True)
class Sustained:
    """Load that a worker keeps up, as a share of the closed form's stable rate, and its interval.

    of_all: the same over the whole run, emptying included. That one is proved to be at most 1.
    """

    load: float
    interval: Interval
    of_all: float


def saturated_load(trace: Trace, worker: Worker, policy: SchedulingPolicy) -> Sustained:
    """Work done per second while there is always somebody to admit, after a warm-up and before the queue empties.

    Serve in order of arrival (any gate) or of something independent of length: a policy that serves short requests
    first leaves the long ones to the end, and no part of such a run is like another.
    """
    charge_s = charges_s(trace, worker)
    run = simulate(trace.take(np.arange(len(trace)), np.zeros(len(trace))), worker, policy)
    last_s = float(run.scheduled_s.max())
    edges_s = np.linspace(WARM_UP * last_s, last_s, PARTS + 1)
    admitted = np.histogram(run.scheduled_s, edges_s, weights=charge_s)[0] / (edges_s[1] - edges_s[0])
    return Sustained(
        load=float(admitted.mean()),
        interval=mean_interval(admitted, 1.0),
        of_all=float(charge_s.sum() / run.finish_s.max()),
    )


@dataclass(frozen=True)
class Growth:
    """The load beyond which a worker's queue grows, and by how much it may be overestimated, which is proved.

    What was admitted is served by the end, but for the requests then running: error is their work per second of the
    run, plus the growth that is taken for none.
    """

    load: float
    error: float


def growth_load(trace: Trace, worker: Worker, policy: SchedulingPolicy, halvings: int = 6) -> Growth:
    """The load beyond which the queue grows, by bisection on the speed of the trace's arrivals.

    It grows when, from the warm-up to the last arrival, less work is admitted than arrives, by more than half a
    percent. Answers with the work that really arrived in that stretch at the highest speed at which it does not grow.
    """
    charge_s = charges_s(trace, worker)
    start = shift(trace, -float(trace.arrival_s[0]))
    speed = 1 / (trace.rate_per_s * float(charge_s.mean()))
    low, high, found = 0.7 * speed, 1.05 * speed, Growth(0.0, np.inf)
    for _ in range(halvings):
        middle = (low + high) / 2
        faster = scale_rate(start, middle)
        run = simulate(faster, worker, policy)
        begin_s, end_s = WARM_UP * faster.span_s, faster.span_s
        arrived = _within(faster.arrival_s, begin_s, end_s, charge_s)
        grown = arrived - _within(run.scheduled_s, begin_s, end_s, charge_s)
        if grown > NO_GROWTH:
            high = middle
        else:
            running = (run.scheduled_s <= end_s) & (run.finish_s > end_s)
            low = middle
            found = Growth(arrived, NO_GROWTH + float(charge_s[running].sum()) / (end_s - begin_s))
    return found


def _within(when_s: FloatArray, begin_s: float, end_s: float, charge_s: FloatArray) -> float:
    """Work of the requests with that moment in (begin_s, end_s], per second."""
    inside = (when_s > begin_s) & (when_s <= end_s)
    return float(charge_s[inside].sum()) / (end_s - begin_s)
