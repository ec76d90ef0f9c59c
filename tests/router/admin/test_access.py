"""Who may ask the admin port: keys, names of the host, foreign pages."""

from urllib.parse import quote

import pytest

from shadowprice.errors import RouterError
from shadowprice.router.admin.app import require_key
from tests.router.admin_client import KEY, Client, refused, served
from tests.router.replay import NAMES, ReplayControl

READS = ("/stats", "/history", "/shadow", "/metrics", "/workers", "/policy", "/list_workers", "/nothing")
CHANGES = (
    ("POST", "/workers", '{"url": "http://127.0.0.1:9009"}'),
    ("DELETE", f"/workers/{quote(NAMES[0], safe='')}", ""),
    ("PUT", "/policy", '{"policy": "least_kv"}'),
    ("POST", "/add_worker?url=http://127.0.0.1:9009", ""),
    ("POST", f"/remove_worker?url={NAMES[0]}", ""),
    ("POST", "/health", ""),
    ("PUT", "/page/dashboard.js", ""),
)


def unchanged(control: ReplayControl) -> bool:
    return control.names == list(NAMES) and control.policy == "bf_io" and control.removed == []


def test_every_answer_forbids_what_is_foreign(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        for path in ("/", "/stats", "/nothing", "/metrics"):
            headers = (await client.get(path)).headers
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"

    served(replayed, work)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "missing_admin_key"),
        ("Basic Y29ycmVjdDpob3JzZQ==", "missing_admin_key"),
        ("Bearer", "invalid_admin_key"),
        ("Bearer wrong", "invalid_admin_key"),
        (f"Bearer {KEY}x", "invalid_admin_key"),
        (f"Bearer {KEY[:-1]}", "invalid_admin_key"),
        ("Bearer käse", "invalid_admin_key"),
    ],
)
def test_with_a_key_all_but_health_and_the_page_needs_it(
    authorization: str | None, code: str, replayed: ReplayControl
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}

    async def work(client: Client) -> None:
        for path in READS:
            response = await client.get(path, headers=headers)
            await refused(response, 401, code)
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert KEY not in await response.text()
        for method, path, body in CHANGES:
            await refused(await client.request(method, path, data=body, headers=headers), 401, code)
        for path in ("/health", "/", "/dashboard", "/page/dashboard.js", "/page/dashboard.css"):
            assert (await client.get(path, headers=headers)).status == 200

    served(replayed, work, KEY)
    assert unchanged(replayed)


def test_the_key_opens(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        for scheme in ("Bearer", "bearer"):
            response = await client.get(
                "/stats", headers={"Authorization": f"{scheme} {KEY}", "Host": "router.example"}
            )
            assert response.status == 200
        await refused(await client.get(f"/stats?key={KEY}"), 401, "missing_admin_key")

    served(replayed, work, KEY)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "[::1", ""])
def test_without_a_key_a_rebound_name_gets_nothing(host: str, replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        for path in ("/", *READS):
            await refused(await client.get(path, headers={"Host": host}), 403, "host_not_allowed", repr(host))
        for method, path, body in CHANGES[:5]:
            await refused(
                await client.request(method, path, data=body, headers={"Host": host}), 403, "host_not_allowed"
            )

    served(replayed, work)
    assert unchanged(replayed)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1:8", "127.9.9.9", "[::1]:80"])
def test_loopback_names_are_answered(host: str, replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        assert (await client.get("/stats", headers={"Host": host})).status == 200

    served(replayed, work)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("key", [None, KEY])
def test_a_foreign_page_changes_nothing(headers: dict[str, str], key: str | None, replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        sent = headers | ({} if key is None else {"Authorization": f"Bearer {key}"})
        for method, path, body in CHANGES:
            response = await client.request(method, path, data=body, headers=sent | {"Content-Type": "text/plain"})
            await refused(response, 403, "cross_site")

    served(replayed, work, key)
    assert unchanged(replayed)


def test_the_page_of_this_origin_may_change(replayed: ReplayControl) -> None:
    async def work(client: Client) -> None:
        origin = f"http://127.0.0.1:{client.port}"
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        assert (await client.put("/policy", json={"policy": "br_0"}, headers=headers)).status == 200

    served(replayed, work)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    require_key(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.1.2.3", "router.example", "localhost.example"])
def test_an_address_that_others_reach_needs_a_key(host: str) -> None:
    with pytest.raises(
        RouterError, match=r"--prometheus-host is .* without --admin-api-key .*; expected a loopback address"
    ):
        require_key(host, None)
    require_key(host, KEY)


@pytest.mark.parametrize("key", ["", " ", "with space", "käse", "line\nbreak"])
def test_a_key_that_no_header_carries_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(RouterError, match=r"--admin-api-key .* printable ASCII") as caught:
        require_key("127.0.0.1", key)
    assert key.strip() == "" or key not in str(caught.value)
