"""A policy in plain Python, as whoever takes policies by name sees it."""

from dataclasses import dataclass, field

from shadowprice.arrays import IntArray
from shadowprice.routing.surface import EVERYTHING, Needs, Pending, RoutingPolicy, Workers


@dataclass(frozen=True)
class Plain:
    """An object with `assign`, under the name by which it was asked for. It is shown all that it does not decline.

    Its own `needs`, `words`, `audited`, `most_passes` and `hole_price`, where it has them, are as in `Compiled`.
    """

    name: str
    policy: RoutingPolicy = field(repr=False)

    def assign(self, pending: Pending, workers: Workers, now_s: float) -> IntArray:
        """The worker of each pending request, -1 to keep it in the central queue."""
        return self.policy.assign(pending, workers, now_s)

    def ready(self) -> None:
        """There is nothing to compile."""

    @property
    def needs(self) -> Needs:
        """What it looks at beside the loads."""
        needs: Needs = getattr(self.policy, "needs", EVERYTHING)
        return needs

    @property
    def words(self) -> str:
        """How it routes, after "Route ..."."""
        return str(getattr(self.policy, "words", ""))

    @property
    def audited(self) -> bool:
        """Does the audit list it."""
        return bool(getattr(self.policy, "audited", True))

    @property
    def most_passes(self) -> int | None:
        """Its bound on younger requests that go before one from a central queue, if it has one."""
        bound: int | None = getattr(self.policy, "most_passes", None)
        return bound

    @property
    def hole_price(self) -> float | None:
        """The price of a hole per KV token; None where holes have none."""
        price: float | None = getattr(self.policy, "hole_price", None)
        return price
