# mypy: allow-untyped-defs, allow-untyped-calls
"""When is an item used again: hazards by class and age, learned while the trace runs; and the index made of them.

A use of an item is at risk until the item is used again. Ages fall into BINS bins, [0, FIRST_S), then growing by
GROWTH. A class says what is known at a use: the request's label, how often the item has been used, whether it is the
last of its chain, whether it has children, and how long ago it was used before. Classes are nested in that order.
"""

import math

import numpy as np

from shadowprice.kernels import njit

BINS = 40
FIRST_S = 1.0
GROWTH = 1.3
LOG_GROWTH = math.log(GROWTH)
USES, GAPS = 5, 6
PER_LABEL = USES * 2 * 2 * GAPS
LEVELS = (GAPS, 2 * GAPS, 2 * 2 * GAPS, PER_LABEL)  # classes of the finest level in one class of each coarser one
SHRINKAGE = 30.0
STARTS = np.concatenate(([0.0], FIRST_S * GROWTH ** np.arange(BINS)))  # age at which each bin begins, and the last ends
WIDTHS = np.diff(STARTS)


@njit(cache=True)
def bin_of(age_s):
    """The bin of an age."""
    if age_s < FIRST_S:
        return 0
    return min(BINS - 1, 1 + int(math.log(age_s / FIRST_S) / LOG_GROWTH))


@njit(cache=True)
def gap_of(gap_s):
    """The class of the time between two uses, 0 for a first use (negative)."""
    if gap_s < 0:
        return 0
    return 1 if gap_s < 10 else 2 if gap_s < 60 else 3 if gap_s < 300 else 4 if gap_s < 1800 else 5


@njit(cache=True)
def class_of(label, uses, ends, has_children, gap_s):
    """The class of a use; gap_s: since the use before, negative for the first."""
    often = min(uses, 3) - 1 if uses <= 3 else (3 if uses <= 7 else 4)
    return (((label * USES + often) * 2 + ends) * 2 + has_children) * GAPS + gap_of(gap_s)


@njit(cache=True)
def hazards(reused, at_risk, hazard):
    """Chance of reuse in each bin, of those that reach it: shares, each class shrunk towards the one it is nested in.

    reused, at_risk: counts [classes, BINS]; fills hazard [classes, BINS].
    """
    classes = len(reused)
    prior = np.empty(BINS)
    dead, alive = np.zeros(BINS), np.zeros(BINS)
    for c in range(classes):
        dead += reused[c]
        alive += at_risk[c]
    for b in range(BINS):
        prior[b] = (dead[b] + 0.01) / (alive[b] + 1.0)
    for c in range(classes):
        hazard[c] = prior
    for level in range(len(LEVELS) - 1, -2, -1):
        width = LEVELS[level] if level >= 0 else 1
        for first in range(0, classes, width):
            dead[:] = 0.0
            alive[:] = 0.0
            for c in range(first, first + width):
                dead += reused[c]
                alive += at_risk[c]
            if alive[0] > 0:
                for b in range(BINS):
                    share = (dead[b] + SHRINKAGE * hazard[first, b]) / (alive[b] + SHRINKAGE)
                    for c in range(first, first + width):
                        hazard[c, b] = share


@njit(cache=True)
def index_of_hazards(hazard, index):
    """G(class, age) = max over h of P(reuse within h | age) / E[min(time to reuse, h) | age], per second.

    The Gittins index of holding: of all times to give up, the one at which reuses come fastest. Fills index, as hazard.
    """
    for c in range(len(hazard)):
        for a in range(BINS):
            survive, spent, best = 1.0, 0.0, 0.0
            for b in range(a, BINS):
                h = hazard[c, b]
                spent += survive * WIDTHS[b] * (1.0 - 0.5 * h)
                survive *= 1.0 - h
                best = max(best, (1.0 - survive) / spent)
            index[c, a] = best


@njit(cache=True)
def exponential_law(reused, at_risk, ages_s, life_s, index):
    """P(reuse within life_s | age) where each class is reused with a chance of its own, after an exponential time.

    The law of reuse that was found in production by kind of request (2506.02634). ages_s: sums [classes] of the ages
    at which uses were reused. Fills index [classes, BINS].
    """
    for c in range(len(index)):
        count, uses = reused[c].sum() + 1.0, at_risk[c, 0] + 2.0
        chance, rate = min(count / uses, 1.0), count / (ages_s[c] + 60.0)
        soon = 1.0 - math.exp(-rate * life_s)
        for b in range(BINS):
            waits = chance * math.exp(-rate * 0.5 * (STARTS[b] + STARTS[b + 1]))
            index[c, b] = waits * soon / (waits + 1.0 - chance) if waits > 0 else 0.0


@njit(cache=True)
def hit_density(hits, evictions, index):
    """Hits to come over the time until hit or eviction, of items that have reached an age in the cache (LHD).

    Beckmann, Chen, Cidon, NSDI 2018. hits, evictions: counts [classes, BINS] of ages at the end of stays; fills index.
    """
    for c in range(len(index)):
        ended, hit, time_s = 0.0, 0.0, 0.0
        for b in range(BINS - 1, -1, -1):
            time_s += ended * WIDTHS[b] + 0.5 * (hits[c, b] + evictions[c, b]) * WIDTHS[b]
            ended += hits[c, b] + evictions[c, b]
            hit += hits[c, b]
            index[c, b] = (hit + 1e-3) / (time_s + 1.0)
