"""Who is let in, over what, and that no secret comes out again."""

import asyncio
import hmac
import io
import json
import ssl
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.router.live import GET, ask, post, routed, run, streamed, until
from tests.router.scripted_worker import answers, completion, resets_after, scripted, streams, whole

KEYS = ("first-key-of-client", "second-key-of-client")
WORKER_KEY, ADMIN_KEY = "key-of-the-worker", "key-of-the-admin"


def with_key(key: str, request: bytes = GET) -> bytes:
    return request.replace(b"Host: r\r\n", b"Host: r\r\nAuthorization: %b\r\n" % key.encode("latin-1"), 1)


def test_only_a_key_lets_in_and_the_worker_sees_its_own() -> None:
    async def work() -> None:
        async with (
            scripted(answers(whole(b"ok"))) as worker,
            routed(worker, api_keys=KEYS, worker_api_key=WORKER_KEY) as server,
        ):
            for key in KEYS:
                assert (await ask(server, with_key(f"Bearer {key}"))).status == 200
                assert (await ask(server, with_key(f"bearer {key}"))).status == 200
                assert worker.calls[-1].values(b"authorization") == [f"Bearer {WORKER_KEY}".encode()]
            wrong = [
                "Bearer ",
                "Bearer x",
                f"Bearer {KEYS[0]}x",
                f"Basic {KEYS[0]}",
                KEYS[0],
                f"Bearer\t{KEYS[0]}",
                "\xe9",
            ]
            for request in [GET, *(with_key(key) for key in wrong)]:
                got = await ask(server, request)
                assert (got.status, got.values(b"connection")) == (401, [b"close"])
            assert len(worker.calls) == 4 and server.router.statistics.refused["unauthorized"] == len(wrong) + 1

    run(work())


def test_a_browser_may_ask_without_a_key_whether_it_may_ask_and_no_more() -> None:
    async def work() -> None:
        allowed = whole(b"", "204 No Content", b"Access-Control-Allow-Origin: *\r\n").replace(
            b"Content-Length: 0\r\n", b""
        )
        async with scripted(answers(allowed)) as worker, routed(worker, api_keys=KEYS) as server:
            plain = GET.replace(b"GET", b"OPTIONS")
            fields = b"Host: r\r\nOrigin: http://chat.example\r\nAccess-Control-Request-Method: POST\r\n"
            preflight = plain.replace(b"Host: r\r\n", fields)
            got = await ask(server, preflight)
            assert (got.status, got.values(b"access-control-allow-origin")) == (204, [b"*"])
            post_instead = preflight.replace(b"OPTIONS", b"POST")
            with_body = preflight.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\na")
            for request in (plain, post_instead, with_body, preflight.replace(b"OPTIONS", b"GET")):
                assert (await ask(server, request)).status == 401
            assert len(worker.calls) == 1

    run(work())


def test_the_open_paths_are_these_and_no_other_spelling_of_them() -> None:
    async def work() -> None:
        async with scripted(answers(whole(b"ok"))) as worker, routed(worker, api_keys=KEYS) as server:
            for path in ("/health", "/metrics", "/ping", "/health?x=1"):
                assert (await ask(server, GET.replace(b"/v1/x", path.encode()))).status == 200
            for path in (
                "/health/",
                "//health",
                "/health/../v1/models",
                "/%68ealth",
                "/HEALTH",
                "http://r/v1/x",
                "/v1/models",
            ):
                assert (await ask(server, GET.replace(b"/v1/x", path.encode()))).status == 401, path
            assert [call.target for call in worker.calls] == [b"/ping"]

    run(work())


def test_keys_are_compared_in_constant_time_and_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    real = hmac.compare_digest

    def compare(a: Any, b: Any) -> bool:
        compared.append(a)
        return real(a, b)

    async def work() -> None:
        async with scripted(answers(whole(b"ok"))) as worker, routed(worker, api_keys=KEYS) as server:
            monkeypatch.setattr(hmac, "compare_digest", compare)
            for key in (KEYS[0], KEYS[1], "neither"):
                compared.clear()
                await ask(server, with_key(f"Bearer {key}"))
                assert compared == [key.encode() for key in KEYS]

    run(work())


def test_secrets_are_in_no_log_metric_answer_or_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "access.log"
    secrets = [*KEYS, WORKER_KEY, ADMIN_KEY, "query-token", "said-in-confidence"]

    async def work() -> None:
        settings: dict[str, Any] = {"api_keys": KEYS, "worker_api_key": WORKER_KEY, "admin_api_key": ADMIN_KEY}
        settings |= {"access_log": str(log), "record": str(tmp_path / "r.parquet"), "max_retries": 0}
        came = b""
        async with scripted(answers(completion())) as worker, routed(worker, **settings) as server:
            body = b'{"prompt":"said-in-confidence","user":"said-in-confidence"}'
            good = with_key(f"Bearer {KEYS[0]}", post(body, b"/v1/completions?key=query-token"))
            for request in (good, good.replace(KEYS[0].encode(), b"wrong"), good.replace(b"HTTP/1.1", b"HTTP/3.3")):
                came += (await ask(server, request)).body
            worker.answer = resets_after(b"nonsense")
            came += (await ask(server, good)).body
            async with aiohttp.ClientSession() as session:
                for path in ("/metrics", "/snapshot", "/history", "/workers"):
                    for headers in ({}, {"Authorization": f"Bearer {ADMIN_KEY}"}):
                        url = f"http://127.0.0.1:{server.admin_port}{path}"
                        async with session.get(url, headers=headers) as response:
                            came += await response.read()
            came += (await ask(server, GET.replace(b"/v1/x", b"/metrics"))).body
        text = came + log.read_bytes()
        lines = [json.loads(line) for line in log.read_bytes().splitlines()]
        assert [(line["path"], line["status"]) for line in lines] == [
            ("/v1/completions", status) for status in (200, 401, 400, 502)
        ]
        written = text.decode("latin-1") + "".join(capfd.readouterr())
        written += "".join(file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file())
        assert len(text) > 1000 and not [secret for secret in secrets if secret in written]
        settings_shown = repr(server.settings)
        assert not [secret for secret in secrets[:4] if secret in settings_shown]

    run(work())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A self-made certificate and its key."""
    folder = tmp_path_factory.mktemp("tls")
    files = str(folder / "cert.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    try:
        subprocess.run([*command, *names, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return files


def test_tls_carries_streams_uploads_and_refusals(certificate: tuple[str, str]) -> None:
    async def work() -> None:
        cert, key = certificate
        trusting = ssl.create_default_context(cafile=cert)
        async with (
            scripted(streams(30)) as worker,
            routed(worker, ssl_certfile=cert, ssl_keyfile=key, max_payload_size=3_000_000) as server,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as session,
        ):
            url = f"https://localhost:{server.port}/v1/completions"
            async with session.post(url, data=io.BytesIO(b"x" * 2_000_000)) as response:
                assert (await response.read()).count(b"data: {") == 30
            assert len(worker.calls[-1].body) == 2_000_000
            worker.answer = answers(whole(b"y" * 3_000_000))
            async with session.get(url) as response:
                assert len(await response.read()) == 3_000_000
            async with session.get(url, headers={"X": "a" * 8000}, timeout=aiohttp.ClientTimeout(5)) as response:
                assert response.status == 200
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
            old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("localhost", server.port, ssl=old)
            plain = await asyncio.open_connection("127.0.0.1", server.port)
            plain[1].write(GET)
            assert b"HTTP/1.1 200" not in await plain[0].read()
            plain[1].close()
            await until(lambda: len(server.router.door.clients) <= 2)

    run(work())


def test_a_client_that_leaves_over_tls_takes_its_request_with_it(certificate: tuple[str, str]) -> None:
    async def work() -> None:
        cert, key = certificate
        trusting = ssl.create_default_context(cafile=cert)
        async with (
            scripted(streams(10_000, gap_s=0.01)) as worker,
            routed(worker, ssl_certfile=cert, ssl_keyfile=key) as server,
        ):
            reader, writer = await asyncio.open_connection("localhost", server.port, ssl=trusting)
            writer.write(streamed())
            await reader.readuntil(b"data: {")
            writer.transport.abort()
            await until(lambda: not worker.running)

    run(work())
