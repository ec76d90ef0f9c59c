"""The instance: prefill and decode together in every worker, or apart in two pools with KV sent between them."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shadowprice.arrays import BoolArray, FloatArray, IntArray
from shadowprice.errors import FleetError, PolicyError, TraceError
from shadowprice.fleet.worker import Worker
from shadowprice.options import Options


@dataclass(frozen=True)
class Link(Options):
    """What carries KV out of a prefill worker, one transfer after another.

    Parameters
    ----------
    kv_bytes_per_token : float
        Of the whole model.
    bandwidth_bytes_per_s : float
        Of one worker's link.
    latency_s : float
        Seconds per transfer.
    layers : int
        Parts in which the KV is sent, each as soon as it is computed; 1 sends all of it when the prompt is done.

    Raises
    ------
    FleetError
        When a number is impossible.
    """

    kv_bytes_per_token: float
    bandwidth_bytes_per_s: float
    latency_s: float = 0.0
    layers: int = 1

    def __post_init__(self) -> None:
        for name, least in (("kv_bytes_per_token", 0.0), ("latency_s", 0.0), ("bandwidth_bytes_per_s", None)):
            value = getattr(self, name)
            fits = value > 0 if least is None else value >= least and math.isfinite(value)
            if not fits:
                accepted = "a number > 0" if least is None else "a finite number >= 0"
                raise FleetError(f"link.{name} is {value}; expected {accepted}")
        if not isinstance(self.layers, int) or isinstance(self.layers, bool) or self.layers < 1:
            raise FleetError(f"link.layers is {self.layers!r}; expected a whole number >= 1")

    def transfer_s(self, prompt_tokens: npt.ArrayLike) -> FloatArray:
        """Seconds that the link is taken by the KV of prompts of these lengths."""
        sent = self.kv_bytes_per_token * np.asarray(prompt_tokens, dtype=np.float64)
        return np.asarray(sent / self.bandwidth_bytes_per_s, dtype=np.float64)


@dataclass(frozen=True)
class Slo(Options):
    """What counts as served well: TTFT and TPOT within limits, for a share of all requests.

    TTFT is arrival to first token, TPOT the mean time per output token after the first, per request; a request of one
    token has no TPOT to miss.

    Parameters
    ----------
    ttft_s, tpot_s : float
        At most so many seconds; infinite: no limit.
    attainment : float
        The least share of requests within both, in (0, 1].

    Raises
    ------
    PolicyError
        When a number is impossible.
    """

    ttft_s: float = math.inf
    tpot_s: float = math.inf
    attainment: float = 0.9

    def __post_init__(self) -> None:
        for name in ("ttft_s", "tpot_s"):
            if not getattr(self, name) > 0:
                raise PolicyError(f"the SLO's {name} is {getattr(self, name)}; expected a number of seconds > 0")
        if not 0 < self.attainment <= 1:
            raise PolicyError(f"the SLO's attainment is {self.attainment}; expected a share > 0 and at most 1")

    def met_by(self, ttft_s: FloatArray, tpot_s: FloatArray) -> BoolArray:
        """Which requests are inside both limits; NaN in tpot_s stands for a request of one token."""
        return (ttft_s <= self.ttft_s) & ~(tpot_s > self.tpot_s)


@dataclass(frozen=True)
class PoolsProblem:
    """How many of `workers` equal machines prefill, the others decoding, or none (every worker does both).

    prompt_tokens, output_tokens: int64 [n] >= 1, the law of the requests. together, prefill, decode: a worker in each
    of its roles (limits such as max_num_batched_tokens may differ by role, and so may the hardware). link: between the
    pools; None is free. slo: what counts as served well.

    The program, for rate r [requests/s] and x prefill workers:

        maximise    r                                                          over x in {0, 1, .., workers - 1}
        subject to  at least slo.attainment of the requests meet slo           in the model of `simulate`
        where       r <= workers * r_together                                   if x = 0
                    r <= x * min(r_prefill, r_link), r <= (workers - x) * r_decode   if x > 0

    The rates are those of `optimum.pool_rates`. A request is prefilled by one worker, its KV is sent over that worker's
    link, and another decodes it: sources DistServe (OSDI'24), Splitwise (ISCA'24), Mooncake (FAST'25).
    Raises TraceError and FleetError when a number is impossible.
    """

    prompt_tokens: IntArray
    output_tokens: IntArray
    together: Worker
    prefill: Worker
    decode: Worker
    workers: int
    link: Link | None = None
    slo: Slo = Slo()

    def __post_init__(self) -> None:
        for name in ("prompt_tokens", "output_tokens"):
            tokens = np.asarray(getattr(self, name))
            if tokens.ndim != 1 or len(tokens) == 0 or not np.issubdtype(tokens.dtype, np.integer) or tokens.min() < 1:
                raise TraceError(f"{name}: expected one whole number >= 1 for each of one or more requests")
        if len(self.prompt_tokens) != len(self.output_tokens):
            raise TraceError(f"{len(self.prompt_tokens)} prompt_tokens and {len(self.output_tokens)} output_tokens")
        if not isinstance(self.workers, int) or isinstance(self.workers, bool) or self.workers < 1:
            raise FleetError(f"workers is {self.workers!r}; expected a whole number >= 1")
