"""The application: routes, what every request must pass, and the life of the server."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import AsyncIterator
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from streamfx.errors import EngineError, InputError, StreamFXError
from streamfx.live.shelf import StyleShelf
from streamfx.server import api, exploring, signalling, static, streams, styling
from streamfx.server.admission import Forbidden
from streamfx.server.config import CONFIG, ServerConfig
from streamfx.server.events import FEED, Feed
from streamfx.server.hub import HUB, Busy, Gone, Hub, Taken
from streamfx.server.logs import without_secret
from streamfx.server.metrics import METRICS, Metrics
from streamfx.server.sinks import trusted_sink
from streamfx.server.sources import trusted

log = logging.getLogger(__name__)

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SIGNALLING = ("/whip/", "/whep/")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def make_app(config: ServerConfig) -> web.Application:
    """The server's application; it may be run on any address.

    Raises:
        InputError: the style pack, or a style, source or sink of the configuration cannot be
            used.
    """
    for name in config.named_sources:
        trusted(name)
    for name in config.named_sinks:
        trusted_sink(name)
    shelf = StyleShelf(config.pack, backend=config.live.backend)
    shelf.resolve(config.live.style)
    app = web.Application(middlewares=[_errors, _guard], client_max_size=config.limits.sdp_bytes)
    metrics = Metrics()
    hub = Hub(config, shelf, metrics)
    app[CONFIG], app[HUB], app[METRICS] = config, hub, metrics
    app[FEED] = Feed(hub, streams.view, config.limits.listeners)
    app[streams.ADMISSIONS] = asyncio.Semaphore(streams.MOST_ADMISSIONS)
    app[styling.UPLOADS] = asyncio.Semaphore(styling.MOST_UPLOADS)
    app[exploring.PREVIEWS] = asyncio.Semaphore(exploring.MOST_PREVIEWS)
    app.add_routes([operation.route() for operation in api.OPERATIONS])
    signalling.setup(app)
    app.add_routes(static.routes())
    metrics.watch(hub, lambda: signalling.sessions(app))
    app.on_response_prepare.append(_add_headers)
    app.on_shutdown.append(_say_goodbye)
    app.cleanup_ctx.append(_live)
    return app


async def _live(app: web.Application) -> AsyncIterator[None]:
    """From the start to the end of the server: the events, and the configured sources."""
    hub = app[HUB]
    try:
        for name, stream in app[CONFIG].configured.items():
            if stream.source is not None:
                await hub.start(trusted(stream.source), name=name, loop=stream.loop)
    except BaseException:
        await hub.close_all()
        raise
    feed = asyncio.create_task(app[FEED].run())
    yield
    feed.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await feed


async def _say_goodbye(app: web.Application) -> None:
    """Listeners and viewers are told; then sources and streams end."""
    await app[FEED].close()
    await signalling.close_sessions(app)
    await app[HUB].close_all()


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is said in one sentence, with the status that fits."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        said = error.text or ""
        if said.startswith(f"{error.status}:"):  # aiohttp's own, which only names the status
            said = _sentence(error.status, request)
        return _failure(request, error.status, said, error)
    except Busy as error:
        busy = _failure(request, 503, str(error))
        busy.headers["Retry-After"] = str(error.retry_after)
        return busy
    except Taken as error:
        return _failure(request, 409, str(error))
    except Gone as error:
        return _failure(request, 404, str(error))
    except Forbidden as error:
        return _failure(request, 403, str(error))
    except InputError as error:
        return _failure(request, 400, str(error))
    except (StreamFXError, EngineError) as error:
        log.error("request failed", extra={"reason": str(error)})
        return _failure(request, 500, str(error))
    except Exception:
        log.exception("request failed", extra={"path": without_secret(request.path)})
        return _failure(request, 500, "the server made an error that its log describes")


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what comes by a foreign name or from a foreign page; answer preflights.

    A page elsewhere whose name is made to point here (DNS rebinding) shows in Host; a page
    elsewhere that calls here shows in Origin. Both reach a server on loopback as well.
    """
    config = request.app[CONFIG]
    if not _is_ours(request.headers.get("Host", ""), config):
        raise web.HTTPForbidden(
            text=f"this server is not called {request.headers.get('Host', '')[:100]!r}; "
            "add the name to allowed_hosts if it is"
        )
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return web.Response(status=204)  # a preflight; `_add_headers` says what is allowed
    if request.method not in _SAFE and not _origin_may_call(request):
        raise web.HTTPForbidden(text="pages of other origins may not do this")
    return await handler(request)


def _is_ours(host: str, config: ServerConfig) -> bool:
    """Whether a Host header names this server: an address, localhost, or a configured name."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    if name is None:
        return False
    if name in ("localhost", config.host, *config.allowed_hosts):
        return True
    try:
        ipaddress.ip_address(name)  # no DNS answer leads from a name to this Host
    except ValueError:
        return False
    return True


def _origin_may_call(request: web.Request) -> bool:
    """Whether the page that sends a request may change something here.

    Not a page (no Origin), or one of ours, may. Any page may publish and watch where that takes
    a token: there are no cookies, so it can only do what somebody gave it the token for.
    """
    origin = request.headers.get("Origin")
    if origin is None or _same_origin(origin, request.headers.get("Host", "")):
        return True
    config = request.app[CONFIG]
    if request.path.startswith("/whip/"):
        return config.tokens.publish is not None or origin.lower() in config.cors_origins
    if request.path.startswith("/whep/"):
        return config.tokens.watch is not None or origin.lower() in config.cors_origins
    return False


def _same_origin(origin: str, host: str) -> bool:
    # The scheme is not compared: behind a proxy that ends TLS, ours is not the browser's.
    try:
        page, here = urlsplit(origin), urlsplit(f"{urlsplit(origin).scheme}://{host}")
        default = _DEFAULT_PORTS.get(page.scheme)
        return page.hostname is not None and (page.hostname, page.port or default) == (
            here.hostname,
            here.port or default,
        )
    except ValueError:
        return False


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    headers = response.headers
    headers["Server"] = "StreamFX"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers.setdefault("Cache-Control", "no-store")
    if not request.path.startswith(_SIGNALLING):
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return
    origin = request.headers.get("Origin")
    if origin is None or not _origin_may_call(request):
        return
    headers["Access-Control-Allow-Origin"] = origin
    headers["Vary"] = "Origin"
    headers["Access-Control-Expose-Headers"] = "ETag, Link, Location, Retry-After"
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "POST, PATCH, DELETE, OPTIONS"
        headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-Match"
        headers["Access-Control-Max-Age"] = "600"


def _failure(
    request: web.Request, status: int, said: str, cause: web.HTTPException | None = None
) -> web.Response:
    answer = (
        web.Response(status=status, text=said)
        if request.path.startswith(_SIGNALLING)
        else web.json_response({"error": said}, status=status)
    )
    for name, value in () if cause is None else cause.headers.items():
        if name not in ("Content-Type", "Content-Length"):
            answer.headers[name] = value
    return answer


def _sentence(status: int, request: web.Request) -> str:
    if status == 404:
        return f"there is nothing at {without_secret(request.path)[:200]}"
    if status == 405:
        return f"{request.method[:20]} is not possible here"
    return HTTPStatus(status).phrase.lower()
