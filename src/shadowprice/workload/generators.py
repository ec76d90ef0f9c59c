"""Synthetic workloads: arrivals, lengths, and a trace composed of them.

Arrivals are functions (n, rate_per_s, rng) -> float64 [n], rising, with `rate_per_s` their long-run mean. Lengths
are quantile functions: they map u in (0, 1) to whole tokens >= 1, so that prompt and output can be correlated.
Parameters are bound with `functools.partial`; a generator of your own is any function of the same form.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from shadowprice.arrays import FloatArray, IntArray
from shadowprice.errors import TraceError
from shadowprice.workload.require import require
from shadowprice.workload.trace import Trace

Arrivals = Callable[[int, float, np.random.Generator], FloatArray]
Lengths = Callable[[FloatArray], IntArray]

MOST_REQUESTS = 10**8  # beyond that no machine of today holds the trace


def poisson_arrivals(n: int, rate_per_s: float, rng: np.random.Generator) -> FloatArray:
    """A Poisson process: independent exponential times between arrivals."""
    return np.cumsum(rng.exponential(1 / rate_per_s, n))


def gamma_arrivals(n: int, rate_per_s: float, rng: np.random.Generator, *, cv: float) -> FloatArray:
    """A renewal process with Gamma times between arrivals of coefficient of variation `cv` (1 is Poisson)."""
    require(cv > 0, f"cv is {cv}; expected a number > 0")
    return np.cumsum(rng.gamma(cv**-2, cv**2 / rate_per_s, n))


def on_off_arrivals(
    n: int, rate_per_s: float, rng: np.random.Generator, *, on_s: float, off_s: float, off_to_on: float = 0.0
) -> FloatArray:
    """A Markov-modulated Poisson process of two states with mean stays of `on_s` and `off_s` seconds.

    `off_to_on` is the rate while off over the rate while on. The state at time 0 is drawn from the stationary law.
    """
    require(on_s > 0 and off_s > 0, f"on_s, off_s are {on_s}, {off_s}; expected numbers > 0")
    require(0 <= off_to_on <= 1, f"off_to_on is {off_to_on}; expected a number from 0 to 1")
    on_rate = rate_per_s * (on_s + off_s) / (on_s + off_to_on * off_s)
    on = bool(rng.random() < on_s / (on_s + off_s))
    # unit-rate arrivals, put back through the inverse of the expected count, which is piecewise linear in time
    expected = np.cumsum(rng.exponential(1.0, n))
    times_s, counts = [np.zeros(1)], [np.zeros(1)]
    while counts[-1][-1] < (expected[-1] if n else 0.0):
        states = on ^ (np.arange(1024) % 2 == 1)
        stays_s = rng.exponential(np.where(states, on_s, off_s))
        rates = np.where(states, on_rate, on_rate * off_to_on)
        times_s.append(times_s[-1][-1] + np.cumsum(stays_s))
        counts.append(counts[-1][-1] + np.cumsum(stays_s * rates))
    return np.interp(expected, np.concatenate(counts), np.concatenate(times_s))


def diurnal_arrivals(
    n: int,
    rate_per_s: float,
    rng: np.random.Generator,
    *,
    amplitude: float,
    period_s: float = 86400.0,
    peak_s: float = 50400.0,
) -> FloatArray:
    """A Poisson process with rate rate_per_s * (1 + amplitude * cos(2 pi (t - peak_s) / period_s))."""
    require(0 <= amplitude <= 1, f"amplitude is {amplitude}; expected a number from 0 to 1")
    require(period_s > 0, f"period_s is {period_s}; expected a number > 0")
    expected = np.cumsum(rng.exponential(1 / rate_per_s, n))  # arrivals of the same process without the wave
    angle = 2 * np.pi / period_s
    offset = np.sin(angle * peak_s)
    reach_s = amplitude / angle
    low, high = np.maximum(expected - 2 * reach_s, 0.0), expected + 2 * reach_s
    for _ in range(60):  # bisection on the integrated rate, which rises; 60 halvings reach float64's end
        middle = (low + high) / 2
        early = middle + reach_s * (np.sin(angle * (middle - peak_s)) + offset) < expected
        low, high = np.where(early, middle, low), np.where(early, high, middle)
    return np.maximum.accumulate(low)


def fixed_lengths(tokens: int) -> Lengths:
    """Every request has `tokens` tokens."""
    require(tokens >= 1, f"the length is {tokens}; expected a whole number >= 1")
    return lambda u: np.full(len(u), tokens, dtype=np.int64)


def lognormal_lengths(median: float, sigma: float, most: int = 10**9) -> Lengths:
    """Lognormal lengths with the given median and standard deviation `sigma` of their logarithm, within [1, most]."""
    require(median >= 1 and sigma >= 0, f"median, sigma are {median}, {sigma}; expected median >= 1 and sigma >= 0")
    return lambda u: np.clip(np.rint(median * np.exp(sigma * ndtri(u))), 1, most).astype(np.int64)


def quantile_lengths(probabilities: Sequence[float], tokens: Sequence[float]) -> Lengths:
    """Lengths from an empirical quantile table, linear between its points; probabilities run from 0 to 1."""
    p, q = np.asarray(probabilities, dtype=float), np.asarray(tokens, dtype=float)
    require(len(p) == len(q) >= 2, f"{len(p)} probabilities and {len(q)} lengths; expected as many, 2 or more")
    require(p[0] == 0 and p[-1] == 1, "the probabilities must run from 0 to 1")
    require(bool(np.all(np.diff(p) > 0) and np.all(np.diff(q) >= 0)), "probabilities must rise and lengths not fall")
    require(q[0] >= 1, f"the smallest length is {q[0]}; expected a number >= 1")
    return lambda u: np.rint(np.interp(u, p, q)).astype(np.int64)


@dataclass(frozen=True)
class Sizes:
    """Prompt and output of a request. correlation: of the two normal scores behind them (a Gaussian copula)."""

    prompt: Lengths
    output: Lengths
    correlation: float = 0.0  # from -1 to 1

    def __post_init__(self) -> None:
        """Raises TraceError."""
        require(-1 <= self.correlation <= 1, f"the correlation is {self.correlation}; expected a number from -1 to 1")


def generate(
    arrivals: Arrivals,
    sizes: Sizes,
    rng: np.random.Generator,
    *,
    rate_per_s: float,
    requests: int | None = None,
    duration_s: float | None = None,
    name: str = "generated",
) -> Trace:
    """A trace of `requests` requests, or of those that arrive before `duration_s`, or both limits at once."""
    require(0 < rate_per_s < np.inf, f"the rate is {rate_per_s} requests/s; expected a number > 0")
    arrival_s = _arrivals(arrivals, rate_per_s, rng, requests, duration_s)
    first, second = rng.standard_normal((2, len(arrival_s)))
    second = sizes.correlation * first + np.sqrt(1 - sizes.correlation**2) * second
    return Trace(arrival_s, sizes.prompt(ndtr(first)), sizes.output(ndtr(second)), name=name)


def _arrivals(
    arrivals: Arrivals, rate_per_s: float, rng: np.random.Generator, requests: int | None, duration_s: float | None
) -> FloatArray:
    if requests is None and duration_s is None:
        raise TraceError("a workload has no end; expected a number of requests, a duration, or both")
    fits = requests is None or 1 <= requests <= MOST_REQUESTS
    require(fits, f"requests is {requests}; expected a whole number from 1 to {MOST_REQUESTS}")
    if duration_s is None:
        return arrivals(requests or 0, rate_per_s, rng)
    require(0 < duration_s < np.inf, f"the duration is {duration_s} s; expected a number > 0")
    # a guess with room; a bursty process may need more, then it is drawn anew from the same start
    guess = requests or int(rate_per_s * duration_s * 1.1 + 100)
    state = rng.bit_generator.state
    while guess <= MOST_REQUESTS:
        arrival_s = arrivals(guess, rate_per_s, rng)
        if requests is not None or arrival_s[-1] >= duration_s:
            return arrival_s[arrival_s < duration_s]
        rng.bit_generator.state = state
        guess *= 2
    raise TraceError(f"about {guess:g} requests in {duration_s:g} s; expected at most {MOST_REQUESTS:g}")
