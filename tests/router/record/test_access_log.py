"""The access log: what stands in it, and that nothing else suffers where it cannot be written."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shadowprice.errors import RouterError
from shadowprice.router.record.access_log import AccessLog
from shadowprice.workload import read_trace
from tests.router.in_loop import routing
from tests.router.live import ask, post, routed, run, until
from tests.router.scripted_worker import answers, completion, scripted

ASKED = post(b'{"prompt":"hello"}')


def test_a_log_that_cannot_be_written_costs_its_lines_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "trace.parquet"

    async def work() -> None:
        settings: dict[str, Any] = {"access_log": "/dev/full", "record": str(record)}
        async with scripted(answers(completion())) as worker, routed(worker, **settings) as server:
            log, recorder = server.access_log, server.recorder
            assert log is not None and recorder is not None
            for failures in (1, 2):
                assert (await ask(server, ASKED)).status == 200
                await until(lambda failures=failures: log.errors_total == failures and recorder.rows_total == failures)
            samples = len(server.control.history()["t"])
            await until(lambda: len(server.control.history()["t"]) > samples)
            told = server.control.snapshot()["access_log"]
            last_error = "/dev/full: No space left on device"
            assert told == {"path": "/dev/full", "lost_total": 2, "errors_total": 2, "last_error": last_error}
            url = f"http://127.0.0.1:{server.admin_port}/metrics"
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                assert "shadowprice_router_access_log_lines_lost_total 2.0" in await response.text()
            assert (await ask(server, ASKED)).status == 200  # its row and its line are written at the end

    run(work())
    assert len(read_trace(record)) == 3
    assert capsys.readouterr().err.count("--access-log /dev/full: No space left on device") == 1


def test_what_the_router_refuses_has_a_line_and_is_counted_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    kept = b"Authorization: Bearer key\r\n"
    sent = [
        post(b"{}", fields=kept),
        post(b"{}", b"/v1/completions?secret"),
        post(b"x" * 5000, fields=kept),
        b"GET /%76 HTTP/1.1\r\nX: " + b"x" * 5000,
        b"GET /v1/models HTTP/1.1\r\n",
        b"NONSENSE x\r\n\r\n",
        b"GET http://user:secret@r HTTP/1.1\r\nHost: r\r\nHost: r\r\n\r\n",
    ]

    async def work() -> None:
        limits: dict[str, Any] = {"max_payload_size": 4000, "max_header_size": 1000, "header_timeout_s": 0.3}
        settings: dict[str, Any] = {"access_log": str(log), "api_keys": ("key",), **limits}
        async with scripted(answers(completion())) as worker, routed(worker, **settings) as server:
            got = [(await ask(server, request)).status for request in sent]
            assert got == [200, 401, 413, 431, 408, 400, 400]
            statistics = server.router.statistics
            assert (statistics.responses["2xx"], statistics.responses["4xx"]) == (1, sum(statistics.refused.values()))

    run(work())
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert [(line["method"], line["path"], line["status"], line["stop"]) for line in lines] == [
        ("POST", "/v1/completions", 200, "finished"),
        ("POST", "/v1/completions", 401, "refused"),
        ("POST", "/v1/completions", 413, "refused"),
        ("GET", "/v", 431, "refused"),
        ("GET", "/v1/models", 408, "refused"),
        ("", "", 400, "refused"),
        ("", "", 400, "refused"),
    ]
    assert {line["client"] for line in lines} == {"127.0.0.1"} and lines[4]["e2e_s"] >= 0.3


def test_a_pipe_that_nobody_reads_any_more_costs_its_lines_only(tmp_path: Path) -> None:
    async def work() -> None:
        pipe = str(tmp_path / "pipe")
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        async with scripted(answers(completion())) as worker, routed(worker, access_log=pipe) as server:
            log = server.access_log
            assert log is not None
            await ask(server, ASKED)
            await until(lambda: _piece(reader))
            os.close(reader)
            await ask(server, ASKED)
            await until(lambda: log.lost_total == 1)

    run(work())


def _piece(reader: int) -> bytes:
    try:
        return os.read(reader, 1 << 16)
    except BlockingIOError:
        return b""


def test_a_line_that_was_torn_ends_before_the_next(tmp_path: Path) -> None:
    async def work() -> None:
        pipe = str(tmp_path / "pipe")
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        log = AccessLog(pipe)
        os.set_blocking(log._file, False)  # else a full pipe would hang the test
        async with scripted(answers(completion())) as worker, routed(worker) as server:
            server.router.when_ended.append(log.add)
            while not log.errors_total:
                await asyncio.gather(*(ask(server, ASKED) for _ in range(100)))
                log.flush()
            read = os.read(reader, 1 << 20)
            await ask(server, ASKED)
        lost = log.lost_total
        log.close()
        read += os.read(reader, 1 << 20)
        os.close(reader)
        whole, torn = [], 0
        for line in read.splitlines():
            try:
                whole.append(json.loads(line))
            except ValueError:
                torn += 1
        ended = server.router.statistics.responses["2xx"]
        assert torn <= 1 and len(whole) + lost == ended and whole[-1]["status"] == 200
        assert log.lost_total == lost > 0

    run(work())


def test_a_log_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match=r"--access-log .*nowhere/log: No such file or directory; expected a file to"):
        AccessLog(str(tmp_path / "nowhere" / "log"))


def test_a_step_of_the_clock_that_fails_ends_no_other(tmp_path: Path) -> None:
    raised: list[dict[str, Any]] = []
    record = tmp_path / "trace.jsonl"

    def fails() -> None:
        raise ValueError("of its own")

    async def work() -> None:
        async with scripted(answers(completion())) as worker, routing(worker.url, record=str(record)) as server:
            asyncio.get_running_loop().set_exception_handler(lambda _, about: raised.append(about))
            server.control.sample = fails  # type: ignore[method-assign]
            await until(lambda: len(raised) > 1)
            await ask(server, ASKED)
            await until(lambda: server.recorder is not None and server.recorder.rows_total == 1)

    run(work())
    assert {str(about["exception"]) for about in raised} == {"of its own"}


def test_the_record_is_closed_whatever_failed_before(tmp_path: Path) -> None:
    record = tmp_path / "trace.parquet"

    async def fails() -> None:
        raise ValueError("of its own")

    async def work() -> None:
        async with scripted(answers(completion())) as worker:
            with pytest.raises(ValueError, match="of its own"):
                async with routing(worker.url, record=str(record)) as server:
                    await until(lambda: server.router.healthy)
                    await ask(server, ASKED)
                    close, server.session.close = server.session.close, fails  # type: ignore[method-assign]
            await close()

    run(work())
    assert [file.name for file in tmp_path.iterdir()] == [record.name] and len(read_trace(record)) == 1
