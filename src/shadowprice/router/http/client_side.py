"""A client's connection as whatever answers its request knows it."""

from typing import Protocol

from shadowprice.router.http.outbox import Writer


class ClientSide(Protocol):
    """The client that waits for the answer."""

    transport: Writer
    address: str
    paused: bool

    def let_go_of_body(self) -> None:
        """The request will not be sent again."""

    def answered(self, *, keep_alive: bool) -> None:
        """The answer is written."""

    def respond(self, response: bytes, *, keep_alive: bool) -> None:
        """Write a whole answer."""

    def abort(self) -> None:
        """Break off."""
