# mypy: allow-untyped-defs, allow-untyped-calls
"""What a policy learns while it routes: the law of prompts, and how long a request of some age still lasts."""

import math

import numpy as np

from shadowprice.kernels import njit
from shadowprice.routing._tables import AGES, LAW_POINTS, LONGEST_AGE, RECENT

FEW_PROMPTS = 64  # up to so many the law is renewed at every prompt, then at every 16th
PRIOR_ENDS, PRIOR_STEPS = 1.0, 256.0  # the plain prior of the hazard: one end in 256 steps, at every age
FORGET_AFTER = 4096.0  # ended requests after which all weights are halved


@njit(cache=True)
def note_prompt(learned, prompt):
    """One more prompt."""
    totals, recent = learned.totals, learned.recent
    recent[totals[0].prompts % RECENT] = prompt
    totals[0].prompts += 1


@njit(cache=True)
def refresh_law(learned):
    """Tabulate law[i] = E[(S - i * law_width)+] over the recent prompts, where enough new ones came."""
    totals, recent, law = learned.totals, learned.recent, learned.law
    n = min(totals[0].prompts, RECENT)
    new = totals[0].prompts - totals[0].law_prompts
    if new == 0 or (n > FEW_PROMPTS and new < 16):
        return
    totals[0].law_prompts = totals[0].prompts
    top = recent[:n].max()
    width = top / LAW_POINTS
    count, total = np.zeros(LAW_POINTS + 1), np.zeros(LAW_POINTS + 1)
    for i in range(n):
        b = min(int(recent[i] / width), LAW_POINTS)
        count[b] += 1
        total[b] += recent[i]
    above, tokens = 0.0, 0.0
    for b in range(LAW_POINTS, -1, -1):
        above += count[b]
        tokens += total[b]
        law[b] = max((tokens - above * b * width) / n, 0.0)
    totals[0].law_width = width
    totals[0].law_mean = tokens / n


@njit(cache=True)
def excess(law, width, hole):
    """phi(hole) = E[(S - hole)+]: what the next prompt would raise the maximum by, were this hole the only one."""
    if width == 0.0:
        return 0.0
    x = max(hole, 0.0) / width
    i = int(x)
    if i >= LAW_POINTS:
        return 0.0
    return law[i] + (law[i + 1] - law[i]) * (x - i)


@njit(cache=True)
def note_end(learned, tokens):
    """A request ended after so many output tokens."""
    totals, ages, age_class = learned.totals, learned.ages, learned.age_class
    c = age_class[min(tokens - 1, LONGEST_AGE - 1)]
    ages[c].ended += 1
    ages[c].inside += tokens - ages[c].start
    totals[0].ends += 1
    totals[0].output_count += 1
    totals[0].output_sum += tokens
    totals[0].output_squares += tokens * tokens
    if totals[0].output_count >= FORGET_AFTER:
        totals[0].output_count /= 2
        totals[0].output_sum /= 2
        totals[0].output_squares /= 2
        for b in range(AGES):
            ages[b].ended /= 2
            ages[b].inside /= 2


@njit(cache=True)
def learn_from(learned, prompts, outputs):
    """What passed before a policy was asked: so many prompts, and requests that ended after so many output tokens."""
    for i in range(len(prompts)):
        note_prompt(learned, prompts[i])
        note_end(learned, outputs[i])


@njit(cache=True)
def mean_growth(totals):
    """KV tokens that a running request has made so far, on average over requests and their lives."""
    return totals[0].output_squares / (2 * totals[0].output_sum) if totals[0].output_sum > 0 else 0.0


@njit(cache=True)
def growth_ratio(totals):
    """Mean growth over mean prompt: how much of the load is made by growth, rather than by prompts that come."""
    return mean_growth(totals) / totals[0].law_mean if totals[0].law_mean > 0 else 0.0


@njit(cache=True)
def mean_output(totals):
    """Mean output tokens of the requests that ended; the prior's where none has."""
    return totals[0].output_sum / totals[0].output_count if totals[0].output_count > 0 else PRIOR_STEPS


@njit(cache=True)
def refresh_stride(balance, totals):
    """Set the steps between points of the window; returns whether enough requests ended to renew what is learned."""
    new = totals[0].ends - totals[0].refreshed
    if new < max(1, min(64, totals[0].ends // 8)):
        return False
    totals[0].refreshed = totals[0].ends
    totals[0].stride = balance.stride
    if balance.stride < 0:
        ratio = growth_ratio(totals)
        totals[0].stride = mean_output(totals) / 2 * ratio / (1 + ratio) / max(balance.points - 1, 1)
    return True


@njit(cache=True)
def refresh_survival(learned, question):
    """Set survival[c, x]: the chance that a request in age class c still runs x * stride steps later.

    The hazard of a class is (ends in it + prior) / (steps spent in it + prior): those still running count with the
    steps they survived, so that long requests are not underrated while the first short ones end.
    """
    totals, ages, age_class, survival = learned.totals, learned.ages, learned.age_class, learned.survival
    requests, workers, slots, step = question.requests, question.workers, question.slots, question.step
    stride = totals[0].stride
    for c in range(AGES):
        ages[c].exposure = ages[c].inside
    passed = np.zeros(AGES + 1)  # requests that ended in a class, or are in it now, with all earlier classes behind
    for c in range(AGES):
        passed[c] = ages[c].ended
    for g in range(len(workers)):
        for p in range(workers[g].running):
            age = step - requests[slots[g, p]].start_step
            c = age_class[min(age, LONGEST_AGE - 1)]
            passed[c] += 1
            ages[c].exposure += age - ages[c].start
    later = 0.0
    for c in range(AGES - 1, -1, -1):
        ages[c].exposure += later * ages[c].width
        later += passed[c]
    hazard, total = np.empty(AGES), np.zeros(AGES + 1)
    for c in range(AGES):
        hazard[c] = (ages[c].ended + PRIOR_ENDS) / (ages[c].exposure + PRIOR_STEPS)
        total[c + 1] = total[c] + hazard[c] * ages[c].width
    for c in range(AGES):
        age = ages[c].start + (ages[c].width / 2 if ages[c].width > 1 else 0.0)
        now = total[c] + hazard[c] * (age - ages[c].start)
        for x in range(survival.shape[1]):
            then = age + x * stride
            d = age_class[min(int(then), LONGEST_AGE - 1)]
            survival[c, x] = math.exp(now - total[d] - hazard[d] * (then - ages[d].start))
