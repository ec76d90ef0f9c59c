# mypy: allow-untyped-defs, allow-untyped-calls
"""Expected loads of the workers over a window of coming steps."""

from shadowprice.kernels import njit
from shadowprice.routing._learn_kernel import refresh_stride, refresh_survival
from shadowprice.routing._tables import AGES, LEARNED, LONGEST_AGE, PREDICTED


@njit(cache=True)
def expected_loads(rules, requests, workers, slots, step, notes, ages, age_class, survival, window, sums):
    """Fill window[g, x] with the load of worker g that is expected x * stride steps ahead, of those it has now.

    A running request holds its KV, grown by a token a step, while it lasts: surely to its predicted end and no longer
    (PREDICTED), or with the chance that its age gives it (LEARNED). The waiting of a worker count as if they had begun.
    """
    points = rules.points
    if rules.forecast != 0 and refresh_stride(rules, notes) and rules.forecast == LEARNED:
        refresh_survival(notes, ages, age_class, survival, requests, workers, slots, step)
    stride = notes[0].stride
    for g in range(len(workers)):
        window[g, 0] = workers[g].level
    if rules.forecast == LEARNED:
        _by_age(requests, workers, slots, step, age_class, survival, points, stride, window, sums)
    elif rules.forecast == PREDICTED:
        _by_prediction(requests, workers, slots, step, points, stride, window)
    if rules.forecast != 0:
        for g in range(len(workers)):
            queued = workers[g].queued
            for x in range(1, points):
                load = window[g, x] + workers[g].queued_kv + x * stride * queued + rules.fixed_kv_tokens
                window[g, x] = load / workers[g].speed


@njit(cache=True)
def _by_age(requests, workers, slots, step, age_class, survival, points, stride, window, sums):
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
def _by_prediction(requests, workers, slots, step, points, stride, window):
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
def footprint(rules, notes, requests, r, survival, added):
    """Fill added[x] with the load that request r, if begun now, is expected to be x * stride steps ahead."""
    for x in range(rules.points):
        ahead = x * notes[0].stride
        added[x] = requests[r].prompt + ahead
        if rules.forecast == LEARNED:
            added[x] *= survival[0, x]
        elif rules.forecast == PREDICTED and ahead >= requests[r].predicted and x > 0:
            added[x] = 0.0


@njit(cache=True)
def point_weights(rules, notes, weights):
    """Fill weights[x] with the discount of each point of the window; they sum to 1."""
    total = 0.0
    for x in range(rules.points):
        weights[x] = rules.discount ** (x * notes[0].stride)
        total += weights[x]
    for x in range(rules.points):
        weights[x] /= total
