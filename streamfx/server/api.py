"""The HTTP API: one table of operations, from which the routes and the document are made."""

from __future__ import annotations

from importlib.metadata import version

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from streamfx.server import streams, styling
from streamfx.server.answers import json_answer
from streamfx.server.auth import allowed
from streamfx.server.config import CONFIG, IceServer
from streamfx.server.events import FEED
from streamfx.server.hub import HUB
from streamfx.server.metrics import scrape
from streamfx.server.models import (
    Defaults,
    Health,
    IceServerInfo,
    Info,
    PictureLimits,
    SourcesInfo,
    StreamId,
    TokensNeeded,
)
from streamfx.server.openapi import Operation, document
from streamfx.server.requests import read_query
from streamfx.server.sources import SourcePolicy

VERSION = version("streamfx")


class EventsQuery(BaseModel):
    """Which stream to hear of; all without it."""

    model_config = ConfigDict(extra="forbid")

    stream: StreamId | None = None


async def get_info(request: web.Request) -> web.Response:
    config = request.app[CONFIG]
    trusted = any(allowed(request, scope) for scope in ("publish", "watch", "control"))
    return json_answer(
        Info(
            version=VERSION,
            ice_servers=[_ice(server) for server in config.ice_servers] if trusted else [],
            tokens=TokensNeeded(
                publish=config.tokens.publish is not None,
                watch=config.tokens.watch is not None,
                control=config.tokens.control is not None,
            ),
            defaults=Defaults(
                style=config.live.style,
                strength=config.live.strength,
                fade_ms=config.live.fade_ms,
            ),
            limits=PictureLimits(
                picture_bytes=config.limits.picture_bytes,
                picture_pixels=config.limits.picture_pixels,
            ),
            sources=SourcesInfo(demo=True, allowed=SourcePolicy(config).allows_more_than_demo),
        )
    )


async def listen(request: web.Request) -> web.StreamResponse:
    wanted = read_query(request, EventsQuery).stream
    return await request.app[FEED].send_to(request, wanted)


async def get_health(request: web.Request) -> web.Response:
    return json_answer(
        Health(status="ok", streams=len(request.app[HUB].entries()), version=VERSION)
    )


async def get_metrics(request: web.Request) -> web.Response:
    return await scrape(request)


async def get_document(_request: web.Request) -> web.Response:
    return web.json_response(document(OPERATIONS, VERSION))


OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/api/info", get_info, "What a page needs to know", answer=Info),
    *streams.OPERATIONS,
    *styling.OPERATIONS,
    Operation(
        "GET",
        "/api/events",
        listen,
        "Server-sent events: `stream` with a Stream every second and at once on a change, "
        "`closed` with an id",
        answer="text/event-stream",
        query=EventsQuery,
        errors=(503,),
        scopes=("watch", "control"),
    ),
    Operation("GET", "/api/openapi.json", get_document, "This document", answer="application/json"),
    Operation(
        "GET",
        "/metrics",
        get_metrics,
        "For Prometheus",
        answer="text/plain",
        scopes=("control", "watch"),
    ),
    Operation("GET", "/healthz", get_health, "Whether the server is well", answer=Health),
)


def _ice(server: IceServer) -> IceServerInfo:
    secret = server.credential
    return IceServerInfo(
        urls=server.urls,
        username=server.username,
        credential=None if secret is None else secret.get_secret_value(),
    )
