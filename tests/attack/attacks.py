"""Tries to cross every bound that is printed, by random draws and hill climbing: `make attack MINUTES=60`.

To add a bound, write one function that takes a `Draw`, builds an instance out of its choices, and returns a value that
was reached over the bound (the other way round for a gain), or None where the instance does not apply; put it into
ATTACKS. Anything below 1 is a crossing. Intervals of p99s are statistical, hold as often as docs/capacity.md says, and
are not attacked here.
"""

from tests.attack import capacity, disaggregation, experts, rounds, routing, scheduling
from tests.attack.search import Attack

ATTACKS: tuple[Attack, ...] = (
    *scheduling.ATTACKS,
    *rounds.ATTACKS,
    *capacity.ATTACKS,
    *routing.ATTACKS,
    *disaggregation.ATTACKS,
    *experts.ATTACKS,
)
