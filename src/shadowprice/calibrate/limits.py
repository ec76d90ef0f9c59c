"""Infers the engine's limits from a log: those with which the replay comes nearest, where they make a difference.

A limit that hardly changes the replay is not read from its noise: an unusual value is taken only if its cost is
decidedly lower than the usual value's, and `how` says whether the log decided.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from shadowprice.calibrate.observed import FEWEST, Seen, guesses
from shadowprice.calibrate.replay import Match, Target, decides, fit_step_time, replay, search_around
from shadowprice.errors import FleetError
from shadowprice.fleet.step_time import StepTime
from shadowprice.fleet.worker import Worker

Tell = Callable[[str], None]

GIVEN, INFERRED, NOT_REACHED, ASSUMED = "given", "inferred", "not reached", "assumed"

BUDGETS = tuple(2**k for k in range(8, 16))  # values of max_num_batched_tokens that are tried
COARSE = 0.92  # ratio of one memory size to the next larger in the first search
FINE = (0.02, 0.005, 0.00125)  # relative steps of the searches around the best size so far
PATIENCE = 5  # sizes without progress after which the first search ends
SHORT, LONG = 8, 20  # evaluations of the residuals and their derivatives: in the search, and at its end
SIMPLEX = 150  # replays of each simplex search


@dataclass(frozen=True)
class Given:
    """Limits that the user knows; None is inferred. The block size cannot be inferred: 16 is vLLM's default."""

    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_tokens: int | None = None
    block_size: int | None = None
    async_scheduling: bool | None = None


@dataclass(frozen=True)
class Search:
    """What stays the same while limits are tried: the target, where to begin, what the log shows and what is given."""

    target: Target
    guesses: list[StepTime]
    seen: Seen
    given: Given
    tell: Tell

    def fit(self, worker: Worker, evaluations: int = SHORT, starts: Iterable[StepTime] = ()) -> Match:
        """The step time of a worker with these limits, searched from the one it has and from `starts`."""
        self.tell(
            f"trying {worker.max_num_seqs} sequences, {worker.max_num_batched_tokens} tokens per step, "
            f"{worker.kv_tokens} KV tokens"
        )
        return fit_step_time(self.target, worker, [worker.step_time, *starts], evaluations)

    def better(self, best: Match, worker: Worker) -> Match:
        """The best, or, if its cost is lower, the match of the worker's limits fitted from the best's step time."""
        match = self.fit(replace(worker, step_time=best.worker.step_time))
        return match if match.cost < best.cost else best


def infer(search: Search) -> tuple[Match, dict[str, str]]:
    """Limits and step time together; and how each limit was found.

    The fits between the choices are long, or a choice would be between the half and the fully fitted.
    """
    given, starts = search.given, search.guesses
    how = dict.fromkeys(Given.__dataclass_fields__, GIVEN)
    best = search.fit(_roomy(search), LONG, starts)
    slots_known = given.max_num_seqs is not None
    if not (slots_known or search.target.log.admissions):
        slots_known, best = _slots_of_a_client(search, best)
        how["max_num_seqs"] = INFERRED
    if given.kv_tokens is None:
        best, how["kv_tokens"] = _memory(search, best)
        best = search.fit(best.worker, LONG, starts)
    if given.max_num_batched_tokens is None:
        best, how["max_num_batched_tokens"] = _budget(search, best)
    if given.async_scheduling is None:
        best, how["async_scheduling"] = _asynchronous(search, best)
    if not slots_known:
        best, how["max_num_seqs"] = _sequences(search, best)
    if given.block_size is None:
        how["block_size"] = ASSUMED
    if how["kv_tokens"] == INFERRED:
        best = _memory_around(search, best)
    best = search_around(search.target, search.fit(best.worker, LONG, starts), SIMPLEX)
    if how["kv_tokens"] == NOT_REACHED:
        needed = replay(search.target.log, best.worker).peak_kv_tokens
        best = replace(best, worker=replace(best.worker, kv_tokens=needed))
    return best, how


def is_cut(search: Search, match: Match) -> bool:
    """Do the times after the last admission contradict those before it?

    Until then everything that ran is in the log (first come, first served). In a log that was cut out of a longer
    one others came next and kept the engine busy; in a whole one it emptied. A worker that explains the whole
    log explains its part about as well as a worker fitted to that part, unless the log was cut.
    """
    log, rows = search.target.log, search.target.rows
    if np.count_nonzero(log.last_token_s[rows] <= log.scheduled_s.max()) < FEWEST:
        return False
    part = whole_until_last_admission(search)
    fitted = part.fit(match.worker, LONG, part.guesses)
    return decides(part.target, fitted, part.target.match(match.worker))


def whole_until_last_admission(search: Search) -> Search:
    """The same search, looking only at times in which all that ran is in the log."""
    log = search.target.log
    until_s = float(log.scheduled_s.max())
    starts = guesses(log, until_s)
    return replace(search, target=replace(search.target, until_s=until_s, usual=starts[1]), guesses=starts)


def _roomy(search: Search) -> Worker:
    """The given limits, and for the others those that the log would show by its fullest moment, or none."""
    given, seen = search.given, search.seen
    size = given.block_size or Worker.block_size
    peak = search.target.log.trace.prompt_tokens + search.target.log.trace.output_tokens
    everything = int(np.sum(-(-peak // size))) * size
    if given.kv_tokens is not None and given.kv_tokens < seen.context_tokens + size:
        raise FleetError(
            f"kv_tokens is {given.kv_tokens}, but {search.target.log.trace.name} has a request of "
            f"{seen.context_tokens} tokens; expected at least {seen.context_tokens + size}"
        )
    ahead = [given.async_scheduling, seen.decided_ahead, Worker.async_scheduling]
    return Worker(
        search.guesses[0],
        max_num_seqs=given.max_num_seqs or seen.sequences,
        max_num_batched_tokens=given.max_num_batched_tokens or _likely_budget(seen),
        kv_tokens=given.kv_tokens or everything,
        block_size=size,
        async_scheduling=next(known for known in ahead if known is not None),
    )


def _memory(search: Search, unlimited: Match) -> tuple[Match, str]:
    """The KV memory that explains the log best: first coarsely down from what the replay needs, then around that."""
    best = unlimited
    least = search.seen.context_tokens + unlimited.worker.block_size
    tokens = float(replay(search.target.log, best.worker).peak_kv_tokens)
    idle = 0
    while (tokens := tokens * COARSE) >= least and idle < PATIENCE:
        found = search.better(best, _with_memory(best.worker, tokens))
        idle = 0 if found is not best else idle + 1
        best = found
    if best is unlimited:
        return best, NOT_REACHED
    best = _memory_around(search, best)
    if decides(search.target, best, unlimited):
        unlimited = search_around(search.target, unlimited, SIMPLEX)
    return (best, INFERRED) if decides(search.target, best, unlimited) else (unlimited, NOT_REACHED)


def _memory_around(search: Search, best: Match) -> Match:
    """The best memory near the best's, looked for in ever smaller steps."""
    for share in FINE:
        centre = best.worker.kv_tokens
        for tokens in (centre * (1 + share * k) for k in (-3, -2, -1, 1, 2, 3)):
            if tokens >= search.seen.context_tokens + best.worker.block_size:
                best = search.better(best, _with_memory(best.worker, tokens))
    return best


def _with_memory(worker: Worker, tokens: float) -> Worker:
    return replace(worker, kv_tokens=int(tokens) // worker.block_size * worker.block_size)


def _likely_budget(seen: Seen) -> int:
    """If the log shows steps that used up their budget, the smallest that explains the others; else the default."""
    enough = _budgets(seen)
    return enough[0] if seen.full_steps else max(Worker.max_num_batched_tokens, enough[0])


def _budgets(seen: Seen) -> list[int]:
    least = max(seen.tokens_of_a_step, seen.sequences)
    return [budget for budget in BUDGETS if budget >= least] or [least]


def _budget(search: Search, usual: Match) -> tuple[Match, str]:
    """Another token budget, if one is decisively better."""
    best = usual
    for budget in _budgets(search.seen):
        if budget != usual.worker.max_num_batched_tokens:
            best = search.better(best, replace(usual.worker, max_num_batched_tokens=budget))
    if decides(search.target, best, usual):
        return best, INFERRED
    return usual, INFERRED if search.seen.full_steps else NOT_REACHED


def _asynchronous(search: Search, usual: Match) -> tuple[Match, str]:
    """Whether steps are decided one ahead, where the log's stamps do not say it."""
    if search.seen.decided_ahead is not None:
        return usual, INFERRED
    other = replace(usual.worker, async_scheduling=not usual.worker.async_scheduling)
    match = search.fit(other, LONG, search.guesses)
    if decides(search.target, match, usual):
        return match, INFERRED
    return usual, INFERRED if decides(search.target, usual, match) else ASSUMED


def _slots_of_a_client(search: Search, free: Match) -> tuple[bool, Match]:
    """Whether the most that were answered at once are the limit: of the others a client cannot tell if they ran."""
    if search.seen.answering >= search.seen.sequences:
        return False, free
    full = search.fit(replace(free.worker, max_num_seqs=search.seen.answering), LONG, search.guesses)
    return (True, full) if decides(search.target, full, free) else (False, free)


def _sequences(search: Search, seen: Match) -> tuple[Match, str]:
    """The most sequences that were seen at once as the limit, if it takes one to explain the log."""
    more = max(Worker.max_num_seqs, seen.worker.max_num_seqs + 1)
    free = search.fit(replace(seen.worker, max_num_seqs=more))
    return (seen, INFERRED) if decides(search.target, seen, free) else (free, NOT_REACHED)
