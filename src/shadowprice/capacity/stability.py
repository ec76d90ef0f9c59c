"""Is it stable, and with how many workers: the closed form, what binds, and how sure the trace makes it.

Every step's length is divided among its requests (`fleet/work.py`), so a worker that serves r requests per second for
ever needs r * E[p(x)] <= 1 for all prices x. E[p(x)] is linear in x, hence

    r_max = 1 / ( E[own] + c * max(E[slot use], E[memory use], E[token use]) ),

and W workers behind any router serve at most W * r_max: the charges of all requests are worth at most W seconds per
second. No policy does more; policies that keep the scarce resource full come within a few percent (docs/capacity.md).
Source: 2605.04595 has a stability condition of this kind for one worker; this derivation is ours.
"""

from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.capacity.interval import Interval, Windows, mean_interval, ratio_interval, windows
from shadowprice.errors import TraceError
from shadowprice.fleet.work import RESOURCES, Work, binding_prices, work
from shadowprice.fleet.worker import Worker
from shadowprice.workload.trace import Trace

COMPUTE, BANDWIDTH = "compute", "bandwidth"
BINDINGS = (COMPUTE, BANDWIDTH, *RESOURCES)
ROUNDING = 1e-9  # relative: of a load's arithmetic


@dataclass(frozen=True)
class Stability:
    """What a worker, and so a fleet, can serve for ever of requests like the trace's.

    Parameters
    ----------
    rate_max_per_s : float
        Stable rate of one worker [requests/s].
    interval : Interval or None
        Its 95 % interval of sampling error; None where the trace is too short.
    rate_per_s : float or None
        Of the trace [requests/s], None where it has no rate.
    load_per_worker : float or None
        Quotient rate_per_s / rate_max_per_s, the workers kept busy.
    load_interval : Interval or None
        Its interval, which also knows how the arrivals swing.
    limit : str
        Which of slots, memory and token budget sets the number of steps.
    binding : str
        What takes most of a worker's time at the stable rate: that limit (the fixed cost of the steps it enforces),
        "compute" (computing tokens) or "bandwidth" (reading KV).
    shares : dict of str to float
        Of that time, by what takes it; they add up to 1.
    cut : Windows or None
        The windows behind the intervals.
    """

    rate_max_per_s: float
    interval: Interval | None
    rate_per_s: float | None
    load_per_worker: float | None
    load_interval: Interval | None
    limit: str
    binding: str
    shares: dict[str, float]
    cut: Windows | None

    @property
    def least_workers(self) -> int:
        """No fewer workers can be stable: ceil(load), at least 1; 1 where the trace has no rate.

        A load that is whole but for rounding counts as whole: at load 1 exactly, evenly spaced requests of one length
        may be served by one worker for ever.
        """
        return 1 if self.load_per_worker is None else max(int(np.ceil(self.load_per_worker * (1 - ROUNDING))), 1)

    def headroom(self, workers: int) -> float | None:
        """Share of the fleet's stable rate that is left over; negative when overloaded."""
        return None if self.load_per_worker is None else 1 - self.load_per_worker / workers

    def headroom_interval(self, workers: int) -> Interval | None:
        """95 % interval of the headroom."""
        if self.load_interval is None:
            return None
        return (1 - self.load_interval[1] / workers, 1 - self.load_interval[0] / workers)

    def verdict(self, workers: int) -> str:
        """`stable`, `overloaded`, or `too close to tell` where the interval of the load holds the fleet's size."""
        if self.load_per_worker is None:
            return "no rate"
        low, high = self.load_interval or (self.load_per_worker, self.load_per_worker)
        if low <= workers <= high:
            return "too close to tell"
        return "stable" if self.load_per_worker < workers else "overloaded"


def stability(trace: Trace, worker: Worker) -> Stability:
    """Compute the stable rate of requests like the trace's, with its prefix-cache hits, on such a worker.

    Parameters
    ----------
    trace : Trace
        Requests, with `cached_tokens` where it has them.
    worker : Worker
        What serves them.

    Returns
    -------
    Stability
        Rates with intervals, and what binds.

    Raises
    ------
    TraceError
        For an empty trace.

    References
    ----------
    docs/capacity.md has the condition and its proof.

    Examples
    --------
    >>> import numpy as np, shadowprice as sp
    >>> trace = sp.Trace(np.arange(100.0), np.full(100, 1000), np.full(100, 100))
    >>> found = sp.stability(trace, sp.read_fleet("llama-3.1-8b-h100").worker)
    >>> (found.least_workers, found.rate_per_s)
    (1, 1.0)
    """
    if len(trace) == 0:
        raise TraceError(f"{trace.name}: no requests; expected at least one")
    needs = work(trace.prompt_tokens, trace.output_tokens, worker, trace.cached_tokens)
    charge_s = needs.charge_s(binding_prices(needs))
    rate = trace.rate_per_s
    has_rate = 0 < rate < np.inf
    cut = windows(trace.arrival_s, charge_s)
    shares = _shares(trace, worker, needs, charge_s)
    limit = RESOURCES[int(np.argmax(needs.use.mean(axis=1)))]
    return Stability(
        rate_max_per_s=float(1 / charge_s.mean()),
        interval=None if cut is None else ratio_interval(cut.sums(np.ones(len(trace))), cut.sums(charge_s)),
        rate_per_s=rate if has_rate else None,
        load_per_worker=rate * float(charge_s.mean()) if has_rate else None,
        load_interval=mean_interval(cut.sums(charge_s), cut.seconds) if cut is not None and has_rate else None,
        limit=limit,
        binding=_binding(limit, shares),
        shares=shares,
        cut=cut,
    )


def charges_s(trace: Trace, worker: Worker) -> FloatArray:
    """Seconds of worker time that each request is charged at the prices that bind: they add up to the load."""
    needs = work(trace.prompt_tokens, trace.output_tokens, worker, trace.cached_tokens)
    return needs.charge_s(binding_prices(needs))


def in_words(found: Stability) -> str:
    """What binds, and so what helps: one sentence."""
    share = _takers(found.shares)
    if found.binding in (COMPUTE, BANDWIDTH):
        what = "reading KV" if found.binding == BANDWIDTH else "computing tokens"
        return (
            f"{found.binding}-bound: {what} takes {100 * share[found.binding]:.0f} % of a worker's time; "
            f"{_HELPS[found.binding]} help, more {_MORE[found.limit]} {_gains(share['steps'])}"
        )
    return (
        f"{_BOUND[found.limit]}: {100 * share['steps']:.0f} % of a worker's time is the fixed cost of steps, shared by "
        f"as many requests as {_SHARED[found.limit]}; {_HELPS[found.limit]} help, faster compute "
        f"{_gains(share[COMPUTE])}"
    )


def _gains(share: float) -> str:
    """What can be gained at most by something that takes this share of the time."""
    most = share / (1 - share)
    return "does not" if most < 0.05 else f"gains at most {100 * most:.0f} %"


_MORE = {"slots": "sequences at once", "memory": "KV memory", "token budget": "tokens per step"}
_BOUND = {"slots": "slot-bound", "memory": "memory-bound", "token budget": "bound by the token budget"}
_SHARED = {
    "slots": "max_num_seqs lets run at once",
    "memory": "KV memory holds at once",
    "token budget": "max_num_batched_tokens lets into a step",
}
_HELPS = {
    COMPUTE: "faster compute, fewer tokens or prefix-cache hits",
    BANDWIDTH: "more memory bandwidth or shorter contexts",
    "slots": "a larger max_num_seqs or shorter outputs",
    "memory": "more HBM or shorter contexts",
    "token budget": "a larger max_num_batched_tokens or shorter prompts",
}


def _binding(limit: str, shares: dict[str, float]) -> str:
    takers = _takers(shares)
    most = max(takers, key=lambda name: takers[name])
    return limit if most == "steps" else most


def _takers(shares: dict[str, float]) -> dict[str, float]:
    """The shares of time that compete for being what binds."""
    return {
        "steps": shares["steps"],
        COMPUTE: shares["prefill"] + shares["decoding"],
        BANDWIDTH: shares["reading KV"],
    }


def _shares(trace: Trace, worker: Worker, needs: Work, charge_s: FloatArray) -> dict[str, float]:
    """Where a worker's time goes at the stable rate: fixed cost of steps, prefill, decoding, reading KV."""
    time, total = worker.step_time, float(charge_s.sum())
    cached = 0 if trace.cached_tokens is None else trace.cached_tokens
    decodes = trace.output_tokens - 1
    prefill_s = time.per_prefill_token_s * float(np.sum(trace.prompt_tokens - cached))
    own_s = float(needs.own_s.sum())
    decode_s = min(time.per_sequence_s * float(decodes.sum()), own_s - prefill_s)
    return {
        "steps": 1 - own_s / total,
        "prefill": prefill_s / total,
        "decoding": decode_s / total,
        "reading KV": (own_s - prefill_s - decode_s) / total,
    }
