"""The admin app over real sockets, for tests: a client of it, and what a refusal looks like."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from shadowprice.router.admin.app import admin_app
from tests.router.replay import ReplayControl

KEY = "correct-horse"
Client = TestClient[Any, Any]


def served(control: ReplayControl, work: Callable[[Client], Coroutine[Any, Any, None]], key: str | None = None) -> None:
    """Run `work` against the admin app on a loopback port."""

    async def all_of_it() -> None:
        async with TestClient(TestServer(admin_app(control, admin_key=key), host="127.0.0.1")) as client:
            await work(client)

    asyncio.run(all_of_it())


async def refused(response: ClientResponse, status: int, code: str, *words: str) -> None:
    """The response is an error of the OpenAI API's shape with that code, and its message has the words."""
    assert response.status == status, await response.text()
    error = (await response.json())["error"]
    assert set(error) == {"message", "type", "code"}
    assert error["code"] == code
    for word in words:
        assert word in error["message"]
