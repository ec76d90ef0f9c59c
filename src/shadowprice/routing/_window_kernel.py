# mypy: allow-untyped-defs, allow-untyped-calls
"""Expected loads of the workers over a window of coming steps."""

from shadowprice.kernels import njit
from shadowprice.routing._learn_kernel import refresh_stride, refresh_survival
from shadowprice.routing._tables import AGES, LONGEST_AGE

NO_FORECAST, LEARNED, PREDICTED = 0, 1, 2  # where a window of expected loads comes from


@njit(cache=True)
def expected_loads(balance, question, memory):
    """Fill the window: loads[g, x] of worker g that are expected x * stride steps ahead, of the requests it has now.

    A running request holds its KV, grown by a token a step, while it lasts: surely to its predicted end and no longer
    (PREDICTED), or with the chance that its age gives it (LEARNED). The waiting of a worker count as if they had begun.
    """
    workers, window, points = question.workers, memory.window.loads, balance.points
    if (
        balance.forecast != NO_FORECAST
        and refresh_stride(balance, memory.learned.totals)
        and balance.forecast == LEARNED
    ):
        refresh_survival(memory.learned, question)
    stride = memory.learned.totals[0].stride
    for g in range(len(workers)):
        window[g, 0] = workers[g].level
    if balance.forecast == LEARNED:
        _by_age(question, memory, points, stride)
    elif balance.forecast == PREDICTED:
        _by_prediction(question, window, points, stride)
    if balance.forecast != NO_FORECAST:
        for g in range(len(workers)):
            queued = workers[g].queued
            for x in range(1, points):
                load = window[g, x] + workers[g].queued_kv + x * stride * queued + balance.fixed_kv_tokens
                window[g, x] = load / workers[g].speed


@njit(cache=True)
def _by_age(question, memory, points, stride):
    requests, workers, slots, step = question.requests, question.workers, question.slots, question.step
    age_class, survival = memory.learned.age_class, memory.learned.survival
    window, sums = memory.window.loads, memory.window.sums
    for g in range(len(workers)):
        for c in range(AGES):
            sums[g, c, 0] = 0.0
            sums[g, c, 1] = 0.0
        for p in range(workers[g].running):
            r = slots[g, p]
            age = step - requests[r].start_step
            c = age_class[min(age, LONGEST_AGE - 1)]
            sums[g, c, 0] += 1
            sums[g, c, 1] += requests[r].prompt + age
        for x in range(1, points):
            window[g, x] = 0.0
        for c in range(AGES):
            count, kv = sums[g, c, 0], sums[g, c, 1]
            if count > 0:
                for x in range(1, points):
                    window[g, x] += survival[c, x] * (kv + x * stride * count)


@njit(cache=True)
def _by_prediction(question, window, points, stride):
    requests, workers, slots, step = question.requests, question.workers, question.slots, question.step
    for g in range(len(workers)):
        for x in range(1, points):
            window[g, x] = 0.0
        for p in range(workers[g].running):
            r = slots[g, p]
            age = step - requests[r].start_step
            left = max(requests[r].predicted - age, 1)
            for x in range(1, points):
                if x * stride >= left:
                    break
                window[g, x] += requests[r].prompt + age + x * stride


@njit(cache=True)
def footprint(balance, learned, requests, r, added):
    """Fill added[x] with the load that request r, if begun now, is expected to be x * stride steps ahead."""
    for x in range(balance.points):
        ahead = x * learned.totals[0].stride
        added[x] = requests[r].prompt + ahead
        if balance.forecast == LEARNED:
            added[x] *= learned.survival[0, x]
        elif balance.forecast == PREDICTED and ahead >= requests[r].predicted and x > 0:
            added[x] = 0.0


@njit(cache=True)
def point_weights(balance, totals, weights):
    """Fill weights[x] with the discount of each point of the window; they sum to 1."""
    total = 0.0
    for x in range(balance.points):
        weights[x] = balance.discount ** (x * totals[0].stride)
        total += weights[x]
    for x in range(balance.points):
        weights[x] /= total
