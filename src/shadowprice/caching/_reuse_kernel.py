"""When is an item used again: hazards by class and age, learned while the trace runs; and the index made of them.

A use of an item is at risk until the item is used again. Ages fall into BINS bins, [0, FIRST_S), then growing by
GROWTH. A class says what is known at a use: the request's label, how often the item has been used, whether it is the
last of its chain, whether it has children, and how long ago it was used before. Classes are nested in that order.
"""

import math

import numpy as np
from numba import njit

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
def class_of(label, uses, ends, has_children, gap_s):
    """The class of a use; gap_s: since the use before, negative for the first."""
    often = min(uses, 3) - 1 if uses <= 3 else (3 if uses <= 7 else 4)
    gap = 0
    if gap_s >= 0:
        gap = 1 if gap_s < 10 else 2 if gap_s < 60 else 3 if gap_s < 300 else 4 if gap_s < 1800 else 5
    return (((label * USES + often) * 2 + ends) * 2 + has_children) * GAPS + gap


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
