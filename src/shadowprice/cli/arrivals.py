"""What arrives and how it is scheduled, by the names that the command line takes."""

from pathlib import Path
from typing import TYPE_CHECKING

# imports of the library stand inside the functions: they take a second that `--help` need not wait for
if TYPE_CHECKING:
    import numpy as np

    from shadowprice.scheduling.ranked import Ranked
    from shadowprice.workload import Trace


def read_arrivals(
    name: str, requests: int, rng: "np.random.Generator", *, seed: int, skip_bad_rows: bool, rate: float | None = None
) -> "Trace":
    """A trace file, a public trace, or so many requests of a preset; at this rate.

    Raises TraceError where there is no rate to rescale.
    """
    from shadowprice.errors import TraceError
    from shadowprice.workload import PRESETS, read_trace, scale_rate

    if rate is not None and not 0 < rate < float("inf"):
        raise TraceError(f"--rate is {rate:g}; expected a number of requests per second > 0")
    if name in PRESETS and not Path(name).exists():
        trace = PRESETS[name](rng, requests=requests, rate_per_s=rate)
    else:
        trace = read_trace(name, skip_bad_rows=skip_bad_rows, seed=seed)
    if rate is None:
        return trace
    if not 0 < trace.rate_per_s < float("inf"):
        raise TraceError(f"{trace.name}: has no rate to rescale; leave out --rate")
    return scale_rate(trace, rate / trace.rate_per_s)


def read_scheduling(name: str) -> "Ranked":
    """The scheduling policy of this name. Raises PolicyError where there is none."""
    from shadowprice.errors import PolicyError
    from shadowprice.fleet.names import did_you_mean
    from shadowprice.scheduling.policies import POLICIES
    from shadowprice.scheduling.ranked import Ranked

    name = name.replace("-", "_")
    if name not in POLICIES:
        raise PolicyError(f"unknown scheduling policy {name!r}; {did_you_mean(name, POLICIES)}")
    policy = POLICIES[name]()
    if not isinstance(policy, Ranked):
        raise PolicyError(f"scheduling policy {name} serves one queue at a time; a plan needs one that ranks by a key")
    return policy
