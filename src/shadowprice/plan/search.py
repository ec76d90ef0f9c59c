"""The least number that passes a test which only larger numbers pass, asking several at a time."""

from collections.abc import Callable, Sequence

AT_ONCE = 4  # asked together, whatever the number of processes: so that the answer does not depend on it
GROWTH = 1.3  # between two numbers of the first ladder


def least(passes: Callable[[Sequence[int]], Sequence[bool]], start: int, most: int) -> int | None:
    """The least number from `start` to `most` that passes while the one before it does not; None if none is found.

    passes: answers for several numbers at once. Where the test is not monotone, it is one such number.
    """
    answers: dict[int, bool] = {}
    low, high = start - 1, None
    while high is None and low < most:
        rungs = _ladder(low + 1, most)
        answers |= dict(zip(rungs, passes(rungs), strict=True))
        high = next((n for n in rungs if answers[n]), None)
        low = max((n for n in answers if not answers[n] and (high is None or n < high)), default=low)
    while high is not None and high - low > 1:
        inner = _between(low, high)
        answers |= dict(zip(inner, passes(inner), strict=True))
        high = next((n for n in inner if answers[n]), high)
        low = max((n for n in answers if not answers[n] and n < high), default=low)
    return high


def _ladder(first: int, most: int) -> list[int]:
    rungs = [min(first, most)]
    while len(rungs) < AT_ONCE and rungs[-1] < most:
        rungs.append(min(max(rungs[-1] + 1, round(rungs[-1] * GROWTH)), most))
    return rungs


def _between(low: int, high: int) -> list[int]:
    """Up to AT_ONCE numbers strictly between, evenly spaced."""
    count = min(AT_ONCE, high - low - 1)
    return [low + round((high - low) * (i + 1) / (count + 1)) for i in range(count)]
