"""The port that several processes of one router share is not shared with another router."""

import socket

import pytest

from shadowprice.errors import RouterError
from shadowprice.router.server import Server
from shadowprice.router.settings import Settings
from tests.router.live import QUICK, run


def test_a_shared_port_is_not_taken_beside_another_router() -> None:
    async def work() -> None:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            server = Server(Settings(**{**QUICK, "port": port, "processes": 2}))
            try:
                with pytest.raises(RouterError, match=f"--host 127.0.0.1 --port {port}: Address already in use"):
                    await server.start()
            finally:
                await server.stop()

    run(work())
