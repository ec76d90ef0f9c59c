"""A router as the requests know it that it carries."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from shadowprice.router.fleet.in_flight import Flights
from shadowprice.router.http.outbox import Outbox

Carried = TypeVar("Carried", contravariant=True)  # an exchange, which in turn knows this


class Surroundings(Protocol[Carried]):
    """What is around an exchange: who settles what becomes of it, and what it shares with the others."""

    clock: Callable[[], float]
    flights: Flights
    outbox: Outbox
    worker_authorization: bytes

    @property
    def draining(self) -> bool:
        """May no connection be kept for a further request."""
        ...

    def connect(self, exchange: Carried) -> None:
        """Open a connection to its worker for it."""

    def retries(self, exchange: Carried, status: int, now_s: float) -> bool:
        """The worker answered with an error: try another, or pass the answer on (False)."""
        ...

    def lost(self, exchange: Carried, reason: str, now_s: float, *, stale: bool) -> None:
        """The worker will not answer. stale: an idle connection had been closed, which is nobody's failure."""

    def ended(self, exchange: Carried, now_s: float, how: str) -> None:
        """It is over."""
