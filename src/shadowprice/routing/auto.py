"""Which of several policies should route, by how each would have done on the requests that passed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, inf, isfinite, log, sqrt

from shadowprice.errors import PolicyError

LEAST = 1e-9  # a cost that is taken for none, so that costs have ratios


@dataclass(frozen=True)
class Change:
    """From one policy to another, and why: by what share its cost was lower in the mean over the evaluations so far.

    The mean forgets; evaluation: the one after which it came, counted from 1. costs: of both in that evaluation.
    """

    before: str
    after: str
    gain: float
    evaluation: int
    costs: tuple[float, float]

    def __str__(self) -> str:
        return (
            f"{self.after} instead of {self.before}: {100 * self.gain:.1f} % lower on what passed, "
            f"{self.costs[1]:.4g} against {self.costs[0]:.4g} in the last of {self.evaluation} evaluations"
        )


@dataclass
class Auto:
    """Chooses a policy from scores, with hysteresis: it changes only for one that is better by more than chance.

    active: the one that routes; at first the one that is given. A policy takes over when its cost is lower than the
    active one's by more than `needed`: margin + scatter / sqrt(n), where n evaluations are in the mean and scatter is
    how far the difference of two policies on one window of requests may be from what it is in the long run. So a large
    difference shows at once, and a small one when it lasts. forget: weight of an evaluation relative to the one after
    it, in [0, 1]: below 1, a load that has changed shows sooner, and n stays below (1 + forget) / (1 - forget).
    Raises PolicyError where one of them is impossible.
    """

    active: str
    margin: float = 0.01
    scatter: float = 0.1
    forget: float = 0.9
    evaluations: int = 0
    changes: list[Change] = field(default_factory=list)
    _means: dict[str, float] = field(default_factory=dict, repr=False)  # of the log of cost, relative to all
    _weight: float = field(default=0.0, repr=False)  # of all evaluations together, and of their squares
    _squares: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        if not (0 <= self.margin < 1 and 0 <= self.scatter < 1 and 0 <= self.forget <= 1):
            raise PolicyError(
                f"auto: margin {self.margin}, scatter {self.scatter}, forget {self.forget}; expected shares in [0, 1) "
                "and a weight in [0, 1]"
            )

    @property
    def needed(self) -> float:
        """By what share the cost of another must be lower now, in the mean, for a change to it."""
        if self._weight == 0:
            return inf
        return self.margin + self.scatter * sqrt(self._squares) / self._weight

    def take(self, costs: Mapping[str, float]) -> Change | None:
        """Take in an evaluation: the cost of every candidate on the same requests; the change it leads to, if any.

        Candidates without a finite cost are left out of it. Nothing is decided while the active one has none.
        """
        logs = {name: log(max(cost, LEAST)) for name, cost in costs.items() if isfinite(cost)}
        if self.active not in logs:
            return None
        self.evaluations += 1
        self._weight = self.forget * self._weight + 1
        self._squares = self.forget**2 * self._squares + 1
        level = sum(logs.values()) / len(logs)
        for name, value in logs.items():
            known = self._means.get(name, value - level)
            self._means[name] = known + (value - level - known) / self._weight
        leader = min(logs, key=lambda name: self._means[name])
        gain = self.gain_of(leader)
        if gain <= self.needed:
            return None
        change = Change(self.active, leader, gain, self.evaluations, (costs[self.active], costs[leader]))
        self.active = leader
        self.changes.append(change)
        return change

    def gain_of(self, name: str) -> float:
        """By what share this policy's cost is below the active one's in the mean; -inf for one never scored."""
        if name not in self._means or self.active not in self._means:
            return -inf
        return 1 - exp(self._means[name] - self._means[self.active])
