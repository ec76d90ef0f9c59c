"""What is asked for: latency targets, and what no number of workers can reach."""

import math
from dataclasses import dataclass

import numpy as np

from shadowprice.arrays import FloatArray
from shadowprice.audit.fleet_run import FleetRun
from shadowprice.audit.words import seconds
from shadowprice.errors import TraceError
from shadowprice.fleet.work import work
from shadowprice.fleet.worker import Worker
from shadowprice.options import Options
from shadowprice.workload.trace import Trace

BATCHES = 10  # requests beyond a quantile, at least, for it to say anything
LIVES = 20  # the trace must be so many times as long as a request lives when it is alone


@dataclass(frozen=True)
class Targets(Options):
    """Latency targets of a plan: a quantile of TTFT and of TPOT over the requests.

    TTFT is arrival to first token; TPOT the mean time per output token after the first, per request.

    Parameters
    ----------
    ttft_s, tpot_s : float or None
        At most so many seconds; None: no target.
    quantile : float
        Of the requests, between 0 and 1.

    Raises
    ------
    TraceError
        Unless a target is a positive finite number and the quantile lies between 0 and 1.
    """

    ttft_s: float | None = None
    tpot_s: float | None = None
    quantile: float = 0.99

    def __post_init__(self) -> None:
        for name in ("ttft_s", "tpot_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise TraceError(f"the target {name} is {value}; expected a number of seconds > 0")
        if not 0 < self.quantile < 1:
            raise TraceError(f"the quantile is {self.quantile}; expected a number between 0 and 1")

    @property
    def any(self) -> bool:
        """Whether anything is asked beyond stability."""
        return self.ttft_s is not None or self.tpot_s is not None

    def met_by(self, ttft_s: FloatArray, tpot_s: FloatArray) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Which requests are inside both targets; a request of one token has no TPOT (NaN) to miss."""
        late = np.zeros(len(ttft_s), dtype=bool)
        if self.ttft_s is not None:
            late |= ttft_s > self.ttft_s
        if self.tpot_s is not None:
            late |= tpot_s > self.tpot_s
        return ~late

    def quantile_of(self, values: FloatArray) -> float | None:
        """The targets' quantile of one value per request, NaN left out; None where there is nothing else."""
        known = values[~np.isnan(values)]
        return float(np.quantile(known, self.quantile)) if len(known) else None

    def met_at(self, ttft_s: float | None, tpot_s: float | None) -> bool:
        """Whether such quantiles are within the targets; what nobody has (None) is within any."""
        return (ttft_s or 0.0) <= (self.ttft_s or math.inf) and (tpot_s or 0.0) <= (self.tpot_s or math.inf)


def tpot_of(served: FleetRun, trace: Trace) -> FloatArray:
    """Mean time per output token after the first [s]; NaN for requests of one token."""
    decodes = trace.output_tokens - 1
    return np.divide(
        served.e2e_s - served.ttft_s, decodes, out=np.full(len(trace), np.nan), where=decodes > 0, casting="unsafe"
    )


def alone(trace: Trace, worker: Worker) -> tuple[FloatArray, FloatArray]:
    """Least TTFT and TPOT of each request [s], reached when it has a worker to itself; NaN TPOT for one token."""
    needs = work(trace.prompt_tokens, trace.output_tokens, worker, trace.cached_tokens)
    cached = 0 if trace.cached_tokens is None else trace.cached_tokens
    computed = trace.prompt_tokens - cached
    chunks = -(-computed // worker.max_num_batched_tokens)
    ttft_s = needs.fixed_s * chunks + worker.step_time.per_prefill_token_s * computed
    decodes = trace.output_tokens - 1
    tpot_s = np.divide(needs.alone_s - ttft_s, decodes, out=np.full(len(trace), np.nan), where=decodes > 0)
    return ttft_s, tpot_s


def impossible(trace: Trace, worker: Worker, targets: Targets) -> str | None:
    """Why no number of such workers meets the targets, or None where enough of them do.

    With a worker of its own for every request each is served in its time alone, and never faster.
    """
    for name, target_s, least_s in zip(
        ("TTFT", "TPOT"), (targets.ttft_s, targets.tpot_s), alone(trace, worker), strict=True
    ):
        if target_s is None or np.isnan(least_s).all():
            continue
        floor_s, median_s = np.nanquantile(least_s, [targets.quantile, 0.5])
        if floor_s > target_s:
            more = f" (the median request: {seconds(median_s)})" if median_s > target_s else ""
            return (
                f"impossible at any size, because the {_nth(targets.quantile)} of {name} is {seconds(floor_s)} even "
                f"when every request has a worker to itself{more}; asked for: {seconds(target_s)}. Only faster workers "
                f"or {'shorter prompts' if name == 'TTFT' else 'shorter contexts'} can help"
            )
    return None


def too_short(trace: Trace, worker: Worker, targets: Targets) -> str | None:
    """Why the trace cannot be judged, or None: too few requests for the quantile, or over before it settles."""
    need = math.ceil(BATCHES / (1 - targets.quantile))
    if targets.any and len(trace) < need:
        return f"too short to judge: {len(trace):,} requests; a {_nth(targets.quantile)} takes {need:,} or more"
    life_s = float(work(trace.prompt_tokens, trace.output_tokens, worker, trace.cached_tokens).alone_s.mean())
    if trace.span_s < LIVES * life_s:
        return (
            f"too short to judge: it spans {seconds(trace.span_s)}, and a request takes {seconds(life_s)} when it is "
            f"alone; a worker settles in some {seconds(LIVES * life_s)} or more"
        )
    return None


def _nth(quantile: float) -> str:
    return f"p{100 * quantile:g}"
