"""Downloads, against a local HTTP server that can break them in every usual way."""

import gc
import hashlib
import socket
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from trace_files import AZURE, real

from shadowprice.errors import TraceError
from shadowprice.workload import PUBLIC_TRACES, public, read_trace
from shadowprice.workload.public import PublicTrace, fetch_public

SHA256 = hashlib.sha256(AZURE).hexdigest()


class Home(BaseHTTPRequestHandler):
    """/good.csv is whole; /truncated.csv promises more than it sends; anything else is 404."""

    requests = 0

    def do_GET(self) -> None:
        Home.requests += 1
        if self.path == "/good.csv":
            self.answer(AZURE, len(AZURE))
        elif self.path == "/truncated.csv":
            self.answer(AZURE[:60], len(AZURE))
        elif self.path == "/silently_truncated.csv":
            self.answer(AZURE[:60], None)
        elif self.path == "/hangs_up.csv":
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.send_error(404)

    def answer(self, body: bytes, length: int | None) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Home)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def broken_responses_are_collected_here() -> Iterator[None]:
    """The download library leaves the socket of a broken response to the garbage collector, which warns of it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADOWPRICE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


def known(url: str, sha256: str = SHA256) -> dict[str, PublicTrace]:
    return {"small": PublicTrace(url, sha256, "CC0", "ours")}


def test_a_public_trace_is_downloaded_once_and_read_by_name(home, cache, monkeypatch):
    monkeypatch.setattr(public, "PUBLIC_TRACES", known(f"{home}/good.csv"))
    monkeypatch.setattr("shadowprice.workload.readers.PUBLIC_TRACES", public.PUBLIC_TRACES)
    before = Home.requests
    first, again = read_trace("small"), read_trace("small")
    assert Home.requests == before + 1
    assert first.name == again.name == "small" and len(first) == 3
    assert [path.name for path in cache.iterdir()] == ["small.csv"]


def test_a_damaged_copy_in_the_cache_is_downloaded_again(home, cache):
    path = fetch_public("small", known(f"{home}/good.csv"))
    path.write_bytes(b"damaged")
    assert fetch_public("small", known(f"{home}/good.csv")).read_bytes() == AZURE


@pytest.mark.parametrize("page", ["truncated.csv", "silently_truncated.csv", "hangs_up.csv", "absent.csv"])
def test_broken_downloads_say_what_to_do_and_leave_nothing(home, cache, page):
    with pytest.raises(
        TraceError, match=r"small: not in the cache.*failed \(.*Without a network, copy that file"
    ) as caught:
        fetch_public("small", known(f"{home}/{page}"))
    assert str(cache / "small.csv") in str(caught.value) and SHA256 in str(caught.value)
    assert not list(cache.iterdir())


def test_a_wrong_hash_is_refused(home, cache):
    with pytest.raises(TraceError, match=r"failed .*hash"):
        fetch_public("small", known(f"{home}/good.csv", "0" * 64))
    assert not list(cache.iterdir())


def test_a_refused_connection_says_what_to_do(cache):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(TraceError, match="Without a network"):
        fetch_public("small", known(f"http://127.0.0.1:{port}/good.csv"))


def test_a_copied_file_works_without_a_network(cache):
    cache.mkdir()
    (cache / "small.csv").write_bytes(AZURE)
    assert fetch_public("small", known("http://127.0.0.1:1/good.csv")).read_bytes() == AZURE


def test_a_cache_that_cannot_be_written_is_an_error(home, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SHADOWPRICE_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(TraceError, match="small: not in the cache"):
        fetch_public("small", known(f"{home}/good.csv"))


def test_an_unknown_name_lists_the_known_ones(cache):
    with pytest.raises(TraceError, match="no such public trace; known: azure-2023-conv"):
        fetch_public("nothing")


@pytest.mark.parametrize(
    ("name", "file"),
    [("azure-2023-conv", "azure2023_conv.csv"), ("mooncake-conversation", "mooncake_conversation.jsonl")],
)
def test_the_hashes_are_those_of_the_real_files(name, file):
    assert hashlib.sha256(real(file).read_bytes()).hexdigest() == PUBLIC_TRACES[name].sha256
