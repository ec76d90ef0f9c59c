"""What a benchmark promises: each found number beside its target, printed at its end and noted for the table of all.

The note is a file that the environment variable BENCH_PROMISES names; `run_all.py` reads it.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass

NOTE = "BENCH_PROMISES"


@dataclass(frozen=True)
class Promise:
    """found: a number, yes or no, or why nothing was found; target: of a number the most, if `strict` not quite
    reached, or if `least` the least."""

    what: str
    found: float | bool | str
    target: float | bool
    least: bool = False
    strict: bool = False
    unit: str = ""

    @property
    def held(self) -> bool | None:
        """None where nothing was found."""
        if isinstance(self.found, str):
            return None
        if self.strict:
            return bool(self.found < self.target)
        return bool(self.found >= self.target if self.least else self.found <= self.target)

    @property
    def verdict(self) -> str:
        return {True: "held", False: "MISSED", None: "not run"}[self.held]

    @property
    def found_text(self) -> str:
        return self.found if isinstance(self.found, str) else self._text(self.found)

    @property
    def target_text(self) -> str:
        if isinstance(self.target, bool):
            return self._text(self.target)
        return f"{'at least' if self.least else 'under' if self.strict else 'at most'} {self._text(self.target)}"

    @property
    def ratio_text(self) -> str:
        """The number found by its target."""
        if isinstance(self.found, str) or isinstance(self.target, bool) or not self.target:
            return ""
        return f"{self.found / self.target:.2f}"

    def __str__(self) -> str:
        ratio = f"; ratio {self.ratio_text}" if self.ratio_text else ""
        return f"{self.verdict:8}{self.what}: {self.found_text}, target {self.target_text}{ratio}"

    def _text(self, value: float | bool) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        return f"{digits} {self.unit}".rstrip()


def at_most(what: str, found: float | str, target: float, unit: str = "") -> Promise:
    return Promise(what, _number(found), target, unit=unit)


def under(what: str, found: float | str, target: float, unit: str = "") -> Promise:
    return Promise(what, _number(found), target, strict=True, unit=unit)


def at_least(what: str, found: float | str, target: float, unit: str = "") -> Promise:
    return Promise(what, _number(found), target, least=True, unit=unit)


def holds(what: str, found: bool | str) -> Promise:
    return Promise(what, found, True, least=True)


def _number(found: float | str) -> float | str:
    return found if isinstance(found, str) else float(found)


def conclude(promises: Iterable[Promise], quiet: bool = False) -> int:
    """Print them (unless quiet) and note them; 1 when one is missed, else 0, as an exit code."""
    promises = list(promises)
    note = os.environ.get(NOTE)
    if note:
        with open(note, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(promise)) + "\n" for promise in promises)
    if not quiet:
        for promise in promises:
            print(promise)
    return int(any(promise.held is False for promise in promises))
