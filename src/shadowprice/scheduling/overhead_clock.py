"""The fourth bound on latency, of one worker: its time told by two clocks, that of own work and that of the rest. Ours.

**Two clocks.** Let U(t) be the own work (a, b and e of the step time) done by t, and G(t) = t - U(t) the overhead
clock, which goes on during the fixed part c of steps and while the worker idles; neither ever goes back. Request i
takes part in at least q_i steps after its arrival, each of which adds c to G: G(C_i) - G(a_i) >= g_i = c q_i = alone_i
- own_i. With weights w_i >= 0 and N(t) = sum of w_i over the requests that are there at t (a_i <= t < C_i),

    sum w_i (C_i - a_i) >= sum w_i g_i + sum w_i (U(C_i) - U(a_i)) = sum w_i g_i + integral of N(t) dU(t):      (1)

who is there waits for all own work that is done, everybody's. N(t) >= N0(t), the same sum over those with
a_i <= t < a_i + alone_i.

**Prices of time.** The own work of i, own_i or more, is done within [a_i, C_i], and at no time faster than the clock:
dU <= dt. So for any pi(t) >= 0 the integral of N dU is at least  sum_i (own work of i, at its times x) (N0(x) + pi(x))
less the integral of pi dt. And C_i - a_i >= max(alone_i, x - a_i) for every time x at which own work of i is done. Let
the part theta_i of each latency be bounded by the queue (bound 3 of `latency_bound`), (1 - phi)(1 - theta_i) of it by
(1), and the rest by this last. Then for every theta in [0, 1]^n, phi in [0, 1] and pi >= 0

    sum (C_i - a_i) >= sum theta_i (tail_i - a_i) + min sum theta_i M_i
        + (1 - phi) sum (1 - theta_i) g_i - integral of pi dt
        + sum_i min over x >= a_i of  own_i ((1 - phi) N0(x) + pi(x)) + phi (1 - theta_i) max(alone_i, x - a_i)

with w_i = 1 - theta_i in N0: an average over the times x of i's own work is at least the minimum, and more own work
than own_i (recomputing) only adds. N0 and pi are constant on bins of time, N0 the weight of those who are there all
through the bin. A search for x that goes on for many bins stops with what waiting alone costs by then.

The right side is concave in theta and pi, so it is maximised by ascent: the supergradient in theta_i is M_i + tail_i -
a_i minus what the rest of i's latency is bounded by, and in pi(bin) it is the own work whose x is there, less the bin's
length. phi is fixed. At theta = 1 this is bound 3, at theta = 0 the two clocks alone; in between it is above both.
"""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.fleet.work import Work
from shadowprice.scheduling import _latency_kernel as kernel
from shadowprice.scheduling._overhead_kernel import cheapest_times

PHI = 0.05
ASCENTS = 100
BINS_PER_LIFE = 16  # of the mean request alone
AFTER = 32  # bins in which work may still be done after a stretch with somebody there, before one long bin of idle time
FIRST_THETA, LEAST_THETA = 0.3, 1e-6
STEP, COOLING = 0.25, 0.75
ROUNDING = 1e-14  # relative: a request is there a little later and shorter than it is


@dataclass(frozen=True)
class _Bins:
    """Bins of time, counted from the base of their stretch: a late clock would swallow the digits of short work.

    base_s, since_s, length_s: of each bin. base_of_s, arrived_s: of each request; first: its bin; it is there all
    through the bins from `begin` to before `end`.
    """

    base_s: FloatArray
    since_s: FloatArray
    length_s: FloatArray
    base_of_s: FloatArray
    arrived_s: FloatArray
    first: IntArray
    begin: IntArray
    end: IntArray

    def there(self, weight: FloatArray) -> FloatArray:
        """N0 of each bin under these weights of the requests."""
        bins = len(self.length_s)
        come, gone = (np.bincount(at, weight, bins + 1) for at in (self.begin, self.end))
        return np.maximum(np.cumsum(come - gone)[:bins], 0.0)


def overhead_clock_sum(arrival_s: FloatArray, needs: Work, charge_s: FloatArray, tail_s: FloatArray) -> float:
    """The largest right side found [s]: no policy of one worker has a smaller sum of latencies.

    charge_s, tail_s: those of bound 3. O(n log n) a step of the ascent, and what the bins that are looked at cost.
    """
    own_s, alone_s = needs.own_s, needs.alone_s
    bins = _bins(arrival_s, alone_s)
    theta, price = np.full(len(own_s), FIRST_THETA), np.zeros(len(bins.length_s))
    done_s, waits_s = np.zeros(len(price)), np.zeros(len(own_s))
    best_s = -np.inf
    for step in range(ASCENTS):
        rest = 1 - theta
        there = bins.there(rest)
        queue_s = kernel.mean_busy_times(arrival_s, charge_s, theta) + tail_s
        least_s = cheapest_times(
            bins.base_of_s, bins.arrived_s, own_s, alone_s, bins.first, PHI * rest,
            bins.base_s, bins.since_s, (1 - PHI) * there + price, done_s, waits_s,
        )  # fmt: skip
        fixed_s = (1 - PHI) * float(rest @ (alone_s - own_s))
        best_s = max(best_s, float(theta @ queue_s) + fixed_s + least_s - float(price @ bins.length_s))
        so_far_s = np.concatenate([[0.0], np.cumsum(done_s)])
        clock_s = (1 - PHI) * (alone_s - own_s + so_far_s[bins.end] - so_far_s[bins.begin]) + PHI * waits_s
        gain_s = queue_s - clock_s
        size = STEP / (step + 1) ** COOLING
        theta = np.clip(theta + size * gain_s / (float(np.mean(np.abs(gain_s))) or 1.0), LEAST_THETA, 1.0)
        full = np.clip(done_s / bins.length_s - 1, -1.0, 3.0)
        price = np.maximum(price + size * max(float(there.mean()), 1.0) * full, 0.0)
    return best_s


def _bins(arrival_s: FloatArray, alone_s: FloatArray) -> _Bins:
    """Equal bins over each stretch in which somebody is there for sure, some more after it, then one until the next."""
    width_s = float(alone_s.mean()) / BINS_PER_LIFE
    until_s = np.maximum.accumulate(arrival_s + alone_s)
    opens = np.concatenate([[True], arrival_s[1:] > until_s[:-1]])
    stretch = np.cumsum(opens) - 1
    begin_s = arrival_s[opens]
    arrived_s = arrival_s - begin_s[stretch]
    long_s = np.zeros(len(begin_s))
    np.maximum.at(long_s, stretch, arrived_s + alone_s)
    gap_s = np.append(np.diff(begin_s), np.inf)  # until the next stretch
    equal = np.minimum(np.ceil(long_s / width_s) + AFTER, np.floor(gap_s / width_s)).astype(np.int64)
    count = equal + 1  # and the long one, which has no end after the last stretch
    offset = np.concatenate([[0], np.cumsum(count)[:-1]])
    of = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(of)) - offset[of]
    since_s = place * width_s
    length_s = np.where(place < equal[of], width_s, np.maximum(gap_s[of] - since_s, width_s))
    length_s[-1] = width_s

    def bin_at(time_s: FloatArray) -> IntArray:
        return np.minimum(np.floor(time_s / width_s).astype(np.int64), equal[stretch])

    begin = np.minimum(np.ceil(arrived_s * (1 + ROUNDING) / width_s).astype(np.int64), equal[stretch])
    end = np.maximum(bin_at((arrived_s + alone_s) * (1 - ROUNDING)), begin)
    mine = offset[stretch]
    return _Bins(
        base_s=begin_s[of],
        since_s=since_s,
        length_s=length_s,
        base_of_s=begin_s[stretch],
        arrived_s=arrived_s,
        first=mine + bin_at(arrived_s * (1 - ROUNDING)),
        begin=mine + begin,
        end=mine + end,
    )
