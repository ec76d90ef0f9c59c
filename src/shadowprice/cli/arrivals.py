"""What arrives and how it is scheduled, by the names that the command line takes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

# imports of the library stand inside the functions: they take a second that `--help` need not wait for
if TYPE_CHECKING:
    import numpy as np

    from shadowprice.scheduling.ranked import Ranked
    from shadowprice.workload import Trace


class TraceFlags(Protocol):
    """What a verb that takes a trace is asked about reading it."""

    @property
    def columns(self) -> str | None: ...
    @property
    def block_tokens(self) -> int | None: ...
    @property
    def skip_bad_rows(self) -> bool: ...
    @property
    def seed(self) -> int: ...


def read_file(name: str, asked: TraceFlags, *, spread_buckets: bool = True) -> "Trace":
    """A trace file or a public trace; what was dropped in bulk is said on stderr too."""
    from shadowprice.workload import read_trace

    trace = read_trace(
        name,
        skip_bad_rows=asked.skip_bad_rows,
        spread_buckets=spread_buckets,
        seed=asked.seed,
        columns=asked.columns,
        block_tokens=asked.block_tokens,
    )
    for note in trace.notes:
        if note.startswith("WARNING"):
            print(f"{trace.name}: {note}", file=sys.stderr)
    return trace


def read_arrivals(
    name: str, requests: int, rng: "np.random.Generator", asked: TraceFlags, *, rate: float | None = None
) -> "Trace":
    """A trace file, a public trace, or so many requests of a preset; at this rate.

    Raises TraceError where there is no rate to rescale.
    """
    from shadowprice.errors import TraceError
    from shadowprice.workload import PRESETS, scale_rate

    if rate is not None and not 0 < rate < float("inf"):
        raise TraceError(f"--rate is {rate:g}; expected a number of requests per second > 0")
    if name in PRESETS and not Path(name).exists():
        trace = PRESETS[name](rng, requests=requests, rate_per_s=rate)
    else:
        trace = read_file(name, asked)
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
