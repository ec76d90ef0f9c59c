"""Fits a worker to a measured log: the step time and the limits with which the simulator reproduces the log."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from shadowprice.arrays import IntArray
from shadowprice.calibrate.limits import SHORT, Given, Search, Tell, infer, is_cut, whole_until_last_admission
from shadowprice.calibrate.notes import describe_errors, describe_limits, describe_log, describe_unfixed
from shadowprice.calibrate.observed import FEWEST, guesses, look
from shadowprice.calibrate.replay import Statistics, Target, latencies, relative, replay, unfixed
from shadowprice.errors import TraceError
from shadowprice.fleet.fleet import Fleet
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.worker import Worker
from shadowprice.workload.readers import MeasuredLog


@dataclass(frozen=True)
class Limit:
    """A limit of the fitted worker. how: "given", "inferred" (the log shows it), "not reached" (the engine may have
    more) or "assumed" (the log does not show it; vLLM's default).
    """

    value: int | bool
    how: str


@dataclass(frozen=True)
class Fit:
    """A worker fitted to a log, and how its replay compares with what was measured.

    Statistics are {"ttft" | "e2e" | "tpot": {"mean" | "p50" | "p90": seconds}}: ttft is first token - arrival, e2e last
    token - arrival, tpot the time per output token after the first.

    Parameters
    ----------
    name : str
        Of the log.
    requests : int
        That were replayed.
    worker : Worker
        The fitted step time and limits.
    limits : dict of str to Limit
        By vLLM's flag name: value, and how it is known.
    measured : Statistics
        Of the log [s].
    replayed : Statistics
        Of the replay on the fitted worker [s].
    errors : Statistics
        The difference (replayed - measured) / measured.
    notes : tuple of str
        What the log does not show, for people.
    unseen : Statistics or None
        The errors on the second half of the requests after a fit to the first half alone; None if not asked for.
    """

    name: str
    requests: int
    worker: Worker
    limits: dict[str, Limit]
    measured: Statistics
    replayed: Statistics
    errors: Statistics
    notes: tuple[str, ...]
    unseen: Statistics | None = None

    def fleet(self) -> Fleet:
        """A fleet of one such worker."""
        note = f"fitted to a replay of {self.requests} measured requests of {self.name}"
        return Fleet(name=self.name, worker=self.worker, step_time_note=note)

    def to_json(self) -> dict[str, Any]:
        """Step time, errors, limits and notes as plain values."""
        return {
            "name": self.name,
            "requests": self.requests,
            "step_time": asdict(self.worker.step_time),
            "errors": self.errors,
            "second_half_errors": self.unseen,
            "measured": self.measured,
            "replayed": self.replayed,
            "limits": {name: asdict(limit) for name, limit in self.limits.items()},
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.requests} measured requests, replayed",
            "",
            f"  step time {_in_words(self.worker.step_time)}",
            "",
            *_table(self),
            "",
            *(f"  {name:<24}{limit.value!s:>8}  {limit.how}" for name, limit in self.limits.items()),
            *(f"\n  {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def _in_words(time: StepTime) -> str:
    return (
        f"{time.fixed_s * 1e3:.3f} ms + {time.per_sequence_s * 1e6:.2f} us per decoding sequence + "
        f"{time.per_kv_token_s * 1e9:.2f} ns per KV token + {time.per_prefill_token_s * 1e6:.2f} us per prompt token"
    )


def _table(fit: Fit) -> list[str]:
    head = f"  {'':<12}{'measured':>12}{'replayed':>12}{'error':>9}" + (f"{'unseen half':>14}" if fit.unseen else "")
    lines = [head]
    for name, statistics in fit.errors.items():
        unit, scale = ("ms", 1e3) if name == "tpot" else ("s", 1.0)
        for which, error in statistics.items():
            seconds = (fit.measured[name][which] * scale, fit.replayed[name][which] * scale)
            line = (
                f"  {name} {which:<7}"
                + "".join(f"{value:>9.3f} {unit:<2}" for value in seconds)
                + f"{100 * error:>+7.2f} %"
            )
            lines.append(line + (f"{100 * fit.unseen[name][which]:>+12.2f} %" if fit.unseen else ""))
    return lines


def fit(log: MeasuredLog, given: Given | None = None, *, tell: Tell | None = None) -> Fit:
    """Find the worker whose replay of the log comes nearest to it.

    Takes a few seconds for some hundred requests.

    Parameters
    ----------
    log : MeasuredLog
        Per-request times of an engine, from `read_measured`.
    given : Given, optional
        Limits that are known; what it leaves open is inferred.
    tell : callable, optional
        Is told what is being tried, for a progress line.

    Returns
    -------
    Fit
        The worker, and how its replay compares with the log.

    Raises
    ------
    TraceError
        When the log is too small or shows no load.
    FleetError
        When a given limit cannot be, for what the log shows.

    References
    ----------
    docs/calibration.md has the method and what it reaches.
    """
    every = np.arange(len(log.trace))
    search = _search(log, given or Given(), every, tell)
    match, how = infer(search)
    cut = is_cut(search, match)
    if cut:
        search = whole_until_last_admission(search)
        match, how = infer(search)
    vague = unfixed(search.target, match, SHORT)
    worker = match.worker
    run = replay(log, worker)
    counted = np.flatnonzero(log.last_token_s <= search.target.until_s)
    measured, replayed = latencies(log, run, counted)
    off = relative(measured, replayed)
    return Fit(
        name=log.trace.name,
        requests=len(every),
        worker=worker,
        limits={name: Limit(getattr(worker, name), found) for name, found in how.items()},
        measured=measured,
        replayed=replayed,
        errors=off,
        notes=(
            *describe_log(log),
            *describe_errors(off, len(counted) if cut else None),
            *describe_limits(worker, how, search.seen, run),
            *describe_unfixed(vague),
        ),
    )


def with_unseen_half(fitted: Fit, log: MeasuredLog, given: Given | None = None, *, tell: Tell | None = None) -> Fit:
    """The same fit with `unseen`: fits again to what happened to the first half of the requests alone, and compares
    the second half with the replay.

    The replay needs arrivals and lengths of all requests, since those in the queue and in the batch slow each other
    down; the times of the second half are not looked at, except that limits given or default stay.
    """
    half = len(log.trace) // 2
    if half < FEWEST:
        raise TraceError(f"{log.trace.name}: {len(log.trace)} requests; expected at least {2 * FEWEST} for two halves")
    match, _ = infer(_search(log, given or Given(), np.arange(half), tell))
    run = replay(log, match.worker)
    return replace(fitted, unseen=relative(*latencies(log, run, np.arange(half, len(log.trace)))))


def _search(log: MeasuredLog, given: Given, rows: IntArray, tell: Tell | None) -> Search:
    """What is to be fitted where only the times of `rows` may be looked at."""
    shown = replace(
        log,
        trace=log.trace.take(rows),
        queued_s=log.queued_s[rows],
        scheduled_s=log.scheduled_s[rows],
        first_token_s=log.first_token_s[rows],
        last_token_s=log.last_token_s[rows],
    )
    seen, starts = look(shown), guesses(shown)
    return Search(Target(log, rows, usual=starts[1]), starts, seen, given, tell or (lambda text: None))
