"""What a measured log shows by itself: how full the engine was, and a first guess of its step time."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from shadowprice.arrays import FloatArray
from shadowprice.errors import TraceError
from shadowprice.fleet.step_time import StepTime
from shadowprice.workload.readers import MeasuredLog

SAME_S = 1e-4  # stamps nearer than this are of one step
RARE = 3  # what is seen less often may be a slip of the clocks or a hit in the prefix cache
MANY = 15  # chances to see something after which it is taken not to happen
LEAST = 0.05
SHARES = ((0.45, 0.2, 0.2, 0.15), (0.4, 0.05, 0.4, 0.15))  # of the fixed cost, sequences, KV tokens, prefill
FEWEST = 20  # requests; with fewer, four coefficients and three limits are a guess


@dataclass(frozen=True)
class Seen:
    """What a log shows about the engine's limits: the most sequences in flight at once, the longest context.

    tokens_of_a_step: prompt tokens that steps certainly computed. full_steps: how often the next in line was left for
    the very next step, the mark of a used-up budget. decided_ahead: whether steps are decided while the one before
    runs; None if the log hardly shows it. A client's log shows none of these three, and counts as in flight who waits;
    answering: the most between their first and last token, all of which surely ran at once.
    """

    sequences: int
    context_tokens: int
    tokens_of_a_step: int
    full_steps: int
    decided_ahead: bool | None
    answering: int


def look(log: MeasuredLog) -> Seen:
    """How full the engine got. Raises TraceError when the log is too small or two requests never overlap."""
    trace = log.trace
    if len(trace) < FEWEST:
        raise TraceError(f"{trace.name}: {len(trace)} requests; expected at least {FEWEST} to fit a step time")
    sequences = int(_steps(log.scheduled_s, log.last_token_s, np.ones(len(trace)))[1].max())
    if sequences < 2:
        raise TraceError(
            f"{trace.name}: no two requests ran at once, so the cost of a sequence cannot be told from the fixed "
            "cost of a step; expected a log under load"
        )
    peak = trace.prompt_tokens + trace.output_tokens - 1
    answering = int(_steps(log.first_token_s, log.last_token_s, np.ones(len(trace)))[1].max())
    if not log.admissions:
        return Seen(sequences, int(peak.max()), 0, 0, None, answering)
    return Seen(sequences, int(peak.max()), *_budget(log), _ahead(log), answering)


def guesses(log: MeasuredLog, until_s: float = np.inf) -> list[StepTime]:
    """Step times to begin a search from: a regression without a replay, then the usual SHARES of the time.

    A request of n + 1 output tokens spans n steps, which took n*c + a*n*B + b*n*KV + e*P; B and KV are the averages
    over the span, P the prompt tokens that others prefilled in it. Rough where requests were preempted. The search
    multiplies and could not leave zero, so no term is taken for less than LEAST of the time. Requests that ended after
    until_s do not count.
    """
    span = log.last_token_s - log.first_token_s
    rows = np.flatnonzero((log.trace.output_tokens > 1) & (span > 0) & (log.last_token_s <= until_s))
    if len(rows) == 0:
        raise TraceError(f"{log.trace.name}: no request has a second token later than its first; expected decoding")
    steps = (log.trace.output_tokens - 1)[rows].astype(np.float64)
    begin, end, span = log.first_token_s[rows], log.last_token_s[rows], span[rows]
    sequences = _average(*_steps(log.first_token_s, log.last_token_s, np.ones(len(log.trace))), begin, end)
    kv_tokens = _average(*_kv_tokens(log), begin, end)
    features = np.column_stack([steps, steps * sequences, steps * kv_tokens, _prefilled(log, begin, end)])
    scale = np.maximum(features.max(axis=0), 1.0)
    solution, _ = nnls(features / scale / span[:, None], np.ones(len(span)))
    per_share = span.sum() / np.maximum(features.sum(axis=0), 1.0)
    regression = np.maximum(solution / scale, LEAST * per_share)
    return [StepTime(*(float(x) for x in guess)) for guess in (regression, *(per_share * s for s in SHARES))]


def _budget(log: MeasuredLog) -> tuple[int, int]:
    """The most prompt tokens that a step computed, seen RARE times at least, and how many steps used up their budget.

    Requests with one `scheduled` stamp were admitted in one step; all but the last, which may have begun with a
    part of its prompt, were computed whole, unless a prefix cache had them: hence not the single largest.
    """
    order = np.argsort(log.scheduled_s, kind="stable")
    when = log.scheduled_s[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(when) > SAME_S]))
    ends = np.append(starts[1:], len(when)) - 1
    total = np.concatenate([[0], np.cumsum(log.trace.prompt_tokens[order])])
    whole = total[ends] - total[starts]
    most = int(np.sort(whole)[-min(RARE, len(whole))])
    following = order[np.minimum(ends + 1, len(order) - 1)]
    waited = (log.queued_s[following] <= when[starts]) & (ends + 1 < len(order))
    soon = log.scheduled_s[following] < log.first_token_s[order[starts]]
    filled = total[ends + 1] - total[starts] > most
    return most, int(np.count_nonzero(waited & soon & filled))


def _ahead(log: MeasuredLog) -> bool | None:
    """Does a step end between the admission of a request and the end of the step that computes its prompt?

    All but the last of those admitted at once are computed whole in one step. If others get a token between its
    admission and its first token, then it was admitted before the running step had ended. Without such a case, and
    with many in which others ran, it was not.
    """
    order = np.argsort(log.scheduled_s, kind="stable")
    whole = order[:-1][np.diff(log.scheduled_s[order]) <= SAME_S]
    begin, end = log.scheduled_s[whole] + SAME_S, log.first_token_s[whole] - SAME_S
    stamps = np.sort(np.concatenate([log.first_token_s, log.last_token_s]))
    between = np.searchsorted(stamps, end) > np.searchsorted(stamps, begin)
    started, left = np.sort(log.first_token_s), np.sort(log.last_token_s)
    busy = np.searchsorted(started, begin) > np.searchsorted(left, end)
    if np.count_nonzero(between) >= RARE:
        return True
    return False if not between.any() and np.count_nonzero(busy) >= MANY else None


def _prefilled(log: MeasuredLog, begin: FloatArray, end: FloatArray) -> FloatArray:
    """Prompt tokens of the requests whose first token came in (begin, end]."""
    order = np.argsort(log.first_token_s, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(log.trace.prompt_tokens[order])])
    first = log.first_token_s[order]
    return np.asarray(total[np.searchsorted(first, end, "right")] - total[np.searchsorted(first, begin, "right")])


def _steps(begin: FloatArray, end: FloatArray, size: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Times, and from each of them on the sum of `size` over the intervals [begin, end) that contain it."""
    times = np.concatenate([begin, end])
    change = np.concatenate([size, -size])
    order = np.lexsort((change, times))  # who leaves at an instant makes room for who comes at it
    return times[order], np.cumsum(change[order])


def _kv_tokens(log: MeasuredLog) -> tuple[FloatArray, FloatArray]:
    """Times, and at each of them the KV tokens of all between first and last token; linear from token to token."""
    span = np.maximum(log.last_token_s - log.first_token_s, 1e-9)
    rate = (log.trace.output_tokens - 1) / span
    times, slope = _steps(log.first_token_s, log.first_token_s + span, rate)
    grown = np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(times))])
    prompt = log.trace.prompt_tokens.astype(np.float64)
    left = prompt + log.trace.output_tokens - 1
    change = np.concatenate([prompt, -left])
    when = np.concatenate([log.first_token_s, log.first_token_s + span])
    order = np.lexsort((np.concatenate([np.ones(len(span)), -np.ones(len(span))]), when))
    return times, np.maximum(grown + np.cumsum(change[order]), 0.0)


def _average(times: FloatArray, values: FloatArray, begin: FloatArray, end: FloatArray) -> FloatArray:
    """Average over each [begin, end] of the step function that is values[i] from times[i] on."""
    integral = np.concatenate([[0.0], np.cumsum(values[:-1] * np.diff(times))])
    return np.asarray((np.interp(end, times, integral) - np.interp(begin, times, integral)) / (end - begin))
