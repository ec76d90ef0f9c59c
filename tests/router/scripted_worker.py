"""A worker for tests: an HTTP server on a loopback port whose every answer is a function of the test's own."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Fields = list[tuple[bytes, bytes]]
HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Call:
    """A request that came, and the connection to answer it on. raw: its bytes. gone: the other side has left."""

    method: bytes
    target: bytes
    headers: Fields
    body: bytes
    raw: bytes
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        self.writer.transport.abort()


Answer = Callable[[Call], Awaitable[None]]


class ScriptedWorker:
    """Answers with `answer`; its probes with `health` and its metrics with `metrics`, kept out of `calls`."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.health: Answer = answers(HEALTHY)
        self.metrics: Answer = answers(NOT_FOUND)
        self.calls: list[Call] = []
        self.running: list[Call] = []
        self.most_running = self.connections = self.port = 0
        self.server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; on the port it had, if it had one."""
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """As the kernel does for a process that dies: nothing listens, and every connection breaks."""
        assert self.server is not None
        self.server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (call := await _read(reader, writer)) is not None and await self._serve(call, reader):
                pass
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, call: Call, reader: asyncio.StreamReader) -> bool:
        probes = {b"/health": self.health, b"/metrics": self.metrics}
        probe = probes.get(call.target)
        if probe is not None:
            await probe(call)
            return not call.writer.is_closing()
        self.calls.append(call)
        self.running.append(call)
        self.most_running = max(self.most_running, len(self.running))
        answering = asyncio.ensure_future(self.answer(call))
        leaving = asyncio.ensure_future(_left(reader, call))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
        finally:
            self.running.remove(call)
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        return not call.writer.is_closing() and not call.gone.is_set()


async def _left(reader: asyncio.StreamReader, call: Call) -> None:
    """Done when the other side has closed; the router sends nothing before it has its answer."""
    while not reader.at_eof() and reader.exception() is None:
        await asyncio.sleep(0.005)
    call.gone.set()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Call | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *lines = head[:-4].split(b"\r\n")
    method, target, _ = line.split(b" ")
    headers = [(name, value) for name, _, value in (field.partition(b": ") for field in lines)]
    length = [int(value) for name, value in headers if name.lower() == b"content-length"]
    body = await reader.readexactly(length[0]) if length else b""
    return Call(method, target, headers, body, head + body, writer)


@asynccontextmanager
async def scripted(answer: Answer) -> AsyncIterator[ScriptedWorker]:
    """A worker that listens."""
    worker = ScriptedWorker(answer)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.kill()


# answers


def answers(data: bytes, *, close: bool = False) -> Answer:
    """The same bytes whatever is asked."""

    async def answer(call: Call) -> None:
        await call.send(data)
        if close:
            call.close()

    return answer


def whole(body: bytes, status: str = "200 OK", fields: bytes = b"") -> bytes:
    """A response with a Content-Length."""
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status.encode(), len(body), fields, body)


def completion(prompt_tokens: int = 5, output_tokens: int = 3) -> bytes:
    """A plain answer with its usage."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": output_tokens}
    return whole(json.dumps({"choices": [{"text": "a" * output_tokens}], "usage": usage}).encode())


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
TOKEN = b'data: {"choices":[{"index":0,"text":" a"}]}\n\n'
DONE = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def streams(tokens: int, *, gap_s: float = 0.0) -> Answer:
    """An event stream of so many tokens."""

    async def answer(call: Call) -> None:
        await call.send(STREAM_HEAD)
        for _ in range(tokens):
            await call.send(chunk(TOKEN))
            await asyncio.sleep(gap_s)
        await call.send(chunk(DONE) + LAST_CHUNK)

    return answer


def stops_after(data: bytes) -> Answer:
    """Sends this, and then nothing more until the router leaves."""

    async def answer(call: Call) -> None:
        await call.send(data)
        await call.gone.wait()

    return answer


def resets_after(data: bytes) -> Answer:
    """Sends this and breaks the connection."""

    async def answer(call: Call) -> None:
        await call.send(data)
        await asyncio.sleep(0.01)
        call.reset()

    return answer
