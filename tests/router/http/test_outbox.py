"""Writes that wait go out in order, none twice, none to a transport that is gone, and not after the turn."""

import asyncio

import uvloop

from shadowprice.router.http.outbox import FEW, MOST, Outbox


class Kept:
    """A transport that keeps what it is given, in one list with others."""

    def __init__(self, name: str, log: list[tuple[str, bytes]]) -> None:
        self.name, self.log, self.closing = name, log, False

    def write(self, data: bytes) -> None:
        self.log.append((self.name, data))

    def is_closing(self) -> bool:
        return self.closing


async def writes(outbox: Outbox, log: list[tuple[str, bytes]]) -> None:
    a, b, gone = (Kept(name, log) for name in ("a", "b", "gone"))
    for transport, data in ((a, b"1"), (b, b"2"), (gone, b"3"), (a, b"4")):
        outbox.write(transport, data)  # type: ignore[arg-type]
    gone.closing = True
    assert not log
    await asyncio.sleep(0)
    assert log == [("a", b"1"), ("b", b"2"), ("a", b"4")]
    await asyncio.sleep(0)
    assert len(log) == 3


async def many(outbox: Outbox, log: list[tuple[str, bytes]]) -> None:
    a = Kept("a", log)
    for number in range(MOST + 1):
        outbox.write(a, b"%d" % number)  # type: ignore[arg-type]
        assert len(log) == (number >= MOST - 1) * MOST
    outbox.flush()
    assert [data for _, data in log] == [b"%d" % number for number in range(MOST + 1)]
    await asyncio.sleep(0)
    assert len(log) == MOST + 1


async def few(outbox: Outbox, log: list[tuple[str, bytes]], exchanges: list[int]) -> None:
    a = Kept("a", log)
    outbox.write(a, b"1")  # type: ignore[arg-type]
    assert log == [("a", b"1")]
    exchanges += range(FEW)
    outbox.write(a, b"2")  # type: ignore[arg-type]
    exchanges.clear()
    outbox.write(a, b"3")  # type: ignore[arg-type]
    assert len(log) == 1  # the third does not pass the second
    await asyncio.sleep(0)
    assert [data for _, data in log] == [b"1", b"2", b"3"]


def test_writes_wait_for_the_turns_end() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for script in (writes, many):
            runner.run(script(Outbox(runner.get_loop(), range(FEW + 1)), []))


def test_where_little_goes_on_nothing_waits() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        exchanges = [0]
        runner.run(few(Outbox(runner.get_loop(), exchanges), [], exchanges))
