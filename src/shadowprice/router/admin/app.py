"""The admin port: the dashboard page, metrics, and changes at run time, as JSON over HTTP.

Every answer is made from what `Control` says at that moment; nothing here runs unless it is asked. The routes by which
other routers add, remove and list workers are served too. Errors have the shape of the OpenAI API.
"""

import asyncio
import bisect
import logging
import math
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import web

from shadowprice.errors import PolicyError, RouterError
from shadowprice.router.admin import metrics
from shadowprice.router.admin.access import ADMIN_KEY, PAGE, Refused, admit, require_key
from shadowprice.router.admin.control import Control
from shadowprice.router.fleet.worker import DRAINING

__all__ = ["admin_app", "require_key"]

CONTROL: web.AppKey[Control] = web.AppKey("control")
MOST_BODY_BYTES = 65_536
PAGE_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
PAGE_FILES: dict[str, tuple[bytes, str]] = {
    file.name: (file.read_bytes(), PAGE_TYPES[suffix])
    for file in files("shadowprice.router.admin").joinpath("page").iterdir()
    if (suffix := file.name.rpartition(".")[2]) in PAGE_TYPES
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 409: "conflict_error"}
FLAGS = {"true": True, "1": True, "false": False, "0": False}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)


def admin_app(control: Control, *, admin_key: str | None) -> web.Application:
    """The admin port's application, to be run in the event loop of the router.

    admin_key: what `Authorization: Bearer` must carry; None: no key, and only requests to a loopback name are answered
    (see `require_key`, which the caller asks with the address before it binds).
    """
    app = web.Application(middlewares=[_guarded], client_max_size=MOST_BODY_BYTES)
    app[CONTROL] = control
    app[ADMIN_KEY] = None if admin_key is None else admin_key.encode()
    app.add_routes(
        [
            web.get("/", _dashboard),
            web.get("/dashboard", _dashboard),
            web.get(PAGE + "{file}", _page_file),
            web.get("/health", _health),
            web.get("/metrics", _metrics),
            web.get("/stats", _stats),
            web.get("/history", _history),
            web.get("/shadow", _shadow),
            web.get("/workers", _workers),
            web.post("/workers", _add_worker),
            web.delete("/workers/{name:.+}", _remove_worker),
            web.get("/policy", _policy),
            web.put("/policy", _set_policy),
            web.get("/list_workers", _list_workers),
            web.post("/add_worker", _add_worker_by_query),
            web.post("/remove_worker", _remove_worker_by_query),
        ]
    )
    return app


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Admission, errors as JSON, and the headers of every answer."""
    try:
        admit(request)
        response = await handler(request)
    except Refused as refusal:
        response = _error(refusal.status, refusal.code, str(refusal))
    except RouterError as error:
        response = _error(400, "invalid_worker", str(error))
    except PolicyError as error:
        response = _error(400, "invalid_policy", str(error))
    except web.HTTPException as exception:
        response = _http_error(request, exception)
    except Exception:
        log.exception("admin request %s %s failed", request.method, request.path)
        response = _error(500, "internal_error", "the router failed to answer; its log says why")
    response.headers.update(HEADERS)
    return response


async def _dashboard(request: web.Request) -> web.Response:
    return _file("dashboard.html")


async def _page_file(request: web.Request) -> web.Response:
    name = request.match_info["file"]
    if name not in PAGE_FILES:
        raise Refused(404, "no_such_file", f"no file {name!r} of the page; expected one of {', '.join(PAGE_FILES)}")
    return _file(name)


def _file(name: str) -> web.Response:
    body, content_type = PAGE_FILES[name]
    return web.Response(body=body, content_type=content_type, charset="utf-8")


async def _health(request: web.Request) -> web.Response:
    """503 while draining, so that no new traffic is sent here; workers that are down are not the router's illness."""
    snapshot = request.app[CONTROL].snapshot()
    up = sum(worker["state"] == "up" for worker in snapshot["workers"])
    draining = snapshot["state"] == "draining"
    answer = {"state": snapshot["state"], "workers": len(snapshot["workers"]), "workers_up": up}
    return _json(answer, status=503 if draining else 200)


async def _metrics(request: web.Request) -> web.Response:
    """Written metric by metric: the whole text takes milliseconds, and requests do not wait for it."""
    body = bytearray()
    for piece in metrics.pieces(request.app[CONTROL].snapshot()):
        body += piece
        await asyncio.sleep(0)
    return web.Response(body=bytes(body), headers={"Content-Type": metrics.CONTENT_TYPE})


async def _stats(request: web.Request) -> web.Response:
    return _json(request.app[CONTROL].snapshot())


async def _history(request: web.Request) -> web.Response:
    """`?after=T`: only the samples later than the unix time T, so that a page that polls gets what it has not."""
    history = request.app[CONTROL].history()
    text = request.query.get("after")
    if text is None:
        return _json(history)
    try:
        after_s = float(text)
    except ValueError:
        after_s = math.nan
    if not math.isfinite(after_s):
        raise Refused(400, "invalid_time", f"after is {text!r}; expected a unix time in seconds")
    first = bisect.bisect_right(history["t"], after_s)
    return _json({name: values if name == "workers" else values[first:] for name, values in history.items()})


async def _shadow(request: web.Request) -> web.Response:
    return _json(request.app[CONTROL].shadow())


async def _workers(request: web.Request) -> web.Response:
    return _json({"workers": _snapshot_workers(request)})


async def _list_workers(request: web.Request) -> web.Response:
    return _json({"urls": _names(request)})


async def _add_worker(request: web.Request) -> web.Response:
    return await _add(request, await _field(request, "url"), status=201)


async def _add_worker_by_query(request: web.Request) -> web.Response:
    return await _add(request, _queried(request, "url"), status=200)


async def _remove_worker(request: web.Request) -> web.Response:
    return await _remove(request, request.match_info["name"])


async def _remove_worker_by_query(request: web.Request) -> web.Response:
    return await _remove(request, _queried(request, "url"))


async def _policy(request: web.Request) -> web.Response:
    snapshot = request.app[CONTROL].snapshot()
    return _json({name: snapshot[name] for name in ("policy", "scheduling_policy")})


async def _set_policy(request: web.Request) -> web.Response:
    await request.app[CONTROL].set_policy(await _field(request, "policy"))
    return await _policy(request)


async def _add(request: web.Request, url: str, *, status: int) -> web.Response:
    serving = [worker["name"] for worker in _snapshot_workers(request) if worker["state"] != DRAINING]
    same = [name for name in serving if _url_of(name) == url.rstrip("/")]
    if same:
        raise Refused(409, "worker_exists", f"{url!r} is served already, as {', '.join(same)}; expected a new URL")
    return _json({"added": await request.app[CONTROL].add_worker(url)}, status=status)


async def _remove(request: web.Request, asked: str) -> web.Response:
    """Remove the worker of that name, or every rank behind that URL."""
    drain = _flag(request, "drain", default=True)
    known = _names(request)
    names = [name for name in known if asked.rstrip("/") in (name, _url_of(name))]
    if not names:
        raise Refused(
            404, "no_such_worker", f"no worker {asked!r}; expected one of {', '.join(known) or 'none: empty'}"
        )
    for name in names:
        await request.app[CONTROL].remove_worker(name, drain=drain)
    return _json({"removed": names, "drain": drain})


def _names(request: web.Request) -> list[str]:
    return [worker["name"] for worker in _snapshot_workers(request)]


def _snapshot_workers(request: web.Request) -> list[dict[str, Any]]:
    workers: list[dict[str, Any]] = request.app[CONTROL].snapshot()["workers"]
    return workers


def _url_of(name: str) -> str:
    """A worker's URL: its name without the rank, `http://host:port@2`."""
    url, _, rank = name.rpartition("@")
    return url if url and rank.isdigit() else name


async def _field(request: web.Request, name: str) -> str:
    """The one string field of a JSON body."""
    accepted = f'a JSON object {{"{name}": "..."}}'
    try:
        body = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, "invalid_body", f"the body is no JSON: {error}; expected {accepted}") from None
    if not isinstance(body, dict) or not isinstance(body.get(name), str) or not body[name]:
        found = f"{name} is {body.get(name)!r}" if isinstance(body, dict) else f"the body is {type(body).__name__}"
        raise Refused(400, "invalid_body", f"{found}; expected {accepted}")
    if len(body) > 1:
        odd = ", ".join(sorted(set(body) - {name}))
        raise Refused(400, "invalid_body", f"unknown fields {odd}; expected {accepted}")
    return body[name]


def _queried(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise Refused(400, "invalid_query", f"{name} is {value!r}; expected {request.path}?{name}=http://host:port")
    return value


def _flag(request: web.Request, name: str, *, default: bool) -> bool:
    text = request.query.get(name)
    if text is None:
        return default
    if text.lower() not in FLAGS:
        raise Refused(400, "invalid_query", f"{name} is {text!r}; expected true or false")
    return FLAGS[text.lower()]


def _json(values: Any, *, status: int = 200) -> web.Response:
    """Numbers that JSON does not have (NaN, infinities) become null."""
    return web.Response(body=msgspec.json.encode(values), status=status, content_type="application/json")


def _error(status: int, code: str, message: str) -> web.Response:
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    response = _json({"error": {"message": message, "type": kind, "code": code}}, status=status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _http_error(request: web.Request, exception: web.HTTPException) -> web.Response:
    """What aiohttp itself refuses: unknown routes and methods, bodies that are too large."""
    if isinstance(exception, web.HTTPMethodNotAllowed):
        accepted = ", ".join(sorted(exception.allowed_methods))
        message = f"{request.path} does not take {exception.method}; expected {accepted}"
    elif isinstance(exception, web.HTTPNotFound):
        routes = sorted({resource.canonical for resource in request.app.router.resources()})
        message = f"no route {request.path!r}; expected one of {', '.join(routes)}"
    elif isinstance(exception, web.HTTPRequestEntityTooLarge):
        message = f"the body is larger than {MOST_BODY_BYTES} bytes; expected a small JSON object"
    else:
        message = exception.reason
    code = exception.reason.lower().replace(" ", "_")
    response = _error(exception.status, code, message)
    if "Allow" in exception.headers:
        response.headers["Allow"] = exception.headers["Allow"]
    return response
