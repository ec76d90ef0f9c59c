"""Among idle workers that are alike it does not matter which one a request gets: they take turns.

A policy that looks at loads alone gives every request of a quiet fleet to the same worker, the first of many equals:
that one works, warms up and fails for all. Workers that hold nothing and have the same room can be swapped for one
another without changing what a decision is worth, so those that a decision chose become the next ones in turn.
"""

from collections.abc import Hashable, Sequence

Kind = Hashable | None  # what idle workers are alike in; None: it is busy, or gets nothing


class Rotation:
    """Who of the idle comes next."""

    def __init__(self) -> None:
        self._last = -1

    def turned(self, answer: Sequence[int], kinds: Sequence[Kind]) -> list[int]:
        """The answer of a policy, by place of the worker, with idle workers swapped for alike ones whose turn it is."""
        swapped: dict[int, int] = {}
        for g in answer:
            if g >= 0 and g not in swapped:
                swapped[g] = self._next(kinds[g], kinds, swapped) if kinds[g] is not None else g
        return [swapped[g] if g >= 0 else g for g in answer]

    def _next(self, kind: Kind, kinds: Sequence[Kind], swapped: dict[int, int]) -> int:
        """The next one of this kind that is not taken yet: there are as many as there are of those to be swapped."""
        taken = set(swapped.values())
        for step in range(1, len(kinds) + 1):
            g = (self._last + step) % len(kinds)
            if kinds[g] == kind and g not in taken:
                self._last = g
                return g
        raise AssertionError("more idle workers were chosen than there are")

    def least(self, loads: Sequence[int], opened: Sequence[bool]) -> int:
        """The place of the open worker with the least load, the next one in turn of those with the same."""
        n = len(loads)
        turn = [(self._last + step) % n for step in range(1, n + 1)]
        self._last = min((g for g in turn if opened[g]), key=loads.__getitem__)
        return self._last
