"""Requests that wait in a known order, before a worker that answers one when it is told to."""

import asyncio

from shadowprice.router.server import Server
from tests.router.live import Response, ask, post, until
from tests.router.scripted_worker import Answer, Call, ScriptedWorker, completion


def named(name: str, priority: int = 0, tenant: str = "") -> bytes:
    """A plain request that the worker can tell from others."""
    body = b'{"prompt":"%b","priority":%d,"user":"%b"}' % (name.encode(), priority, tenant.encode())
    return post(body)


def when_told(turns: asyncio.Semaphore) -> Answer:
    """Answers one request for each release."""

    async def answer(call: Call) -> None:
        await turns.acquire()
        await call.send(completion(10, 10))

    return answer


async def queued(server: Server, requests: list[bytes]) -> list["asyncio.Task[Response]"]:
    """Send these one after another, each once the one before waits or is at its worker."""
    tasks = []
    for request in requests:
        known = len(server.router.dispatcher.waiting) + len(server.router.active)
        tasks.append(asyncio.ensure_future(ask(server, request)))
        await until(lambda known=known: len(server.router.dispatcher.waiting) + len(server.router.active) > known)
    return tasks


async def served_in_turn(
    worker: ScriptedWorker, turns: asyncio.Semaphore, tasks: list["asyncio.Task[Response]"]
) -> list[bytes]:
    """Let the worker answer one at a time; the prompts in the order in which they came to it."""
    for done in range(1, len(tasks) + 1):
        turns.release()
        await until(lambda done=done: sum(task.done() for task in tasks) == done)
    assert {task.result().status for task in tasks} == {200}
    return [call.body.split(b'"')[3] for call in worker.calls]
