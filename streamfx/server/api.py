"""The HTTP API: one table of operations, from which the routes and the document are made."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, StringConstraints

from streamfx.errors import InputError
from streamfx.live.settings import ControlChange
from streamfx.live.shelf import ShelfStyle
from streamfx.pictures import Picture, TooManyPixels, decode_picture
from streamfx.server.auth import allowed
from streamfx.server.config import CONFIG, IceServer
from streamfx.server.events import FEED
from streamfx.server.exploring import explore_styles, preview_style
from streamfx.server.hub import HUB, Busy, Entry
from streamfx.server.metrics import scrape
from streamfx.server.models import (
    Candidates,
    Defaults,
    Exploration,
    Health,
    IceServerInfo,
    Info,
    NewStream,
    NewStyle,
    Percentiles,
    PictureLimits,
    Preview,
    SourcesInfo,
    Stats,
    Stream,
    StreamChange,
    StreamId,
    Streams,
    Style,
    Styles,
    TokensNeeded,
)
from streamfx.server.openapi import Operation, document
from streamfx.server.requests import read_body, read_json, read_query
from streamfx.server.sources import SourcePolicy

VERSION = version("streamfx")

_PICTURES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
MOST_UPLOADS = 4  # pictures that are read and decoded at a time

UPLOADS: web.AppKey[asyncio.Semaphore] = web.AppKey("uploads", asyncio.Semaphore)


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EventsQuery(_Query):
    """Which stream to hear of; all without it."""

    stream: StreamId | None = None


class TitleQuery(_Query):
    """What the picture is called."""

    title: Annotated[str, StringConstraints(max_length=200)] = "picture"


def view(entry: Entry) -> Stream:
    """A stream as the API shows it."""
    control, stats = entry.stream.control, entry.stream.stats()
    return Stream(
        id=entry.stream.name,
        state=stats.state,
        style=control.style,
        strength=control.strength,
        enabled=control.enabled,
        fade_ms=control.fade_ms,
        source=entry.origin,
        viewers=stats.viewers,
        stats=Stats(
            fps_in=stats.fps_in,
            fps_out=stats.fps_out,
            frames_in=stats.frames_in,
            frames_restyled=stats.frames_restyled,
            frames_out=stats.frames_out,
            dropped=dict(stats.dropped),
            stages={
                stage: Percentiles(p50=timing.p50, p95=timing.p95)
                for stage, timing in stats.stages.items()
            },
            bitrate=sum(stats.bitrate.values()),
            key_frames=stats.key_frames,
            size_in=stats.size_in,
            size_out=stats.size_out,
            working_scale=stats.working_scale,
            audio_delay_ms=stats.audio_delay_ms,
        ),
    )


async def get_info(request: web.Request) -> web.Response:
    config = request.app[CONFIG]
    trusted = any(allowed(request, scope) for scope in ("publish", "watch", "control"))
    return _json(
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


async def list_streams(request: web.Request) -> web.Response:
    return _json(Streams(streams=[view(entry) for entry in request.app[HUB].entries()]))


async def create_stream(request: web.Request) -> web.Response:
    config, hub = request.app[CONFIG], request.app[HUB]
    wanted = await read_json(request, NewStream, config.limits.json_bytes)
    # Following links touches the disk, which may be slow.
    source = await asyncio.to_thread(SourcePolicy(config).admit, wanted.source)
    entry = hub.start(
        source,
        name=wanted.id,
        loop=wanted.loop,
        style=wanted.style,
        strength=wanted.strength,
    )
    location = f"/api/streams/{entry.stream.name}"
    return _json(view(entry), status=201, headers={"Location": location})


async def get_stream(request: web.Request) -> web.Response:
    return _json(view(_entry(request)))


async def change_stream(request: web.Request) -> web.Response:
    change = await read_json(request, StreamChange, request.app[CONFIG].limits.json_bytes)
    entry = _entry(request)
    entry.stream.set_control(ControlChange(**change.model_dump()))
    request.app[HUB].changed.set()
    return _json(view(entry))


async def close_stream(request: web.Request) -> web.Response:
    await request.app[HUB].close(_entry(request).stream.name)
    return web.Response(status=204)


async def list_styles(request: web.Request) -> web.Response:
    return _json(Styles(styles=[_style(style) for style in request.app[HUB].shelf.styles()]))


async def get_thumbnail(request: web.Request) -> web.Response:
    shelf = request.app[HUB].shelf
    name = _shelf_style(request).name
    jpeg = await asyncio.to_thread(shelf.thumbnail, name)
    return web.Response(body=jpeg, content_type="image/jpeg")


async def add_style(request: web.Request) -> web.Response:
    limits, shelf = request.app[CONFIG].limits, request.app[HUB].shelf
    title = read_query(request, TitleQuery).title
    if request.app[UPLOADS].locked():
        raise Busy(f"{MOST_UPLOADS} pictures are being read already; try again")
    async with request.app[UPLOADS]:
        data = await read_body(request, tuple(_PICTURES), limits.picture_bytes)
        picture = await asyncio.to_thread(
            _decode, data, _PICTURES[request.content_type], limits.picture_pixels
        )
        style = await asyncio.to_thread(shelf.add_picture, picture, title)
    location = f"/api/styles/{style.name}"
    return _json(_style(style), status=201, headers={"Location": location})


async def keep_style(request: web.Request) -> web.Response:
    shelf = request.app[HUB].shelf
    wanted = await read_json(request, NewStyle, request.app[CONFIG].limits.json_bytes)
    if wanted.name in shelf.names():
        raise web.HTTPConflict(text=f"there is a style {wanted.name!r} already; take another name")
    style = await asyncio.to_thread(shelf.save, wanted.name, wanted.style, wanted.title)
    return _json(_style(style), status=201, headers={"Location": f"/api/styles/{style.name}"})


async def remove_style(request: web.Request) -> web.Response:
    style = _shelf_style(request)
    if style.kind == "catalogue":
        raise web.HTTPForbidden(text=f"the style {style.name!r} belongs to the pack and stays")
    await asyncio.to_thread(request.app[HUB].shelf.remove, style.name)
    return web.Response(status=204)


async def listen(request: web.Request) -> web.StreamResponse:
    wanted = read_query(request, EventsQuery).stream
    return await request.app[FEED].send_to(request, wanted)


async def get_health(request: web.Request) -> web.Response:
    return _json(Health(status="ok", streams=len(request.app[HUB].entries()), version=VERSION))


async def get_metrics(request: web.Request) -> web.Response:
    return await scrape(request)


async def get_document(_request: web.Request) -> web.Response:
    return web.json_response(document(OPERATIONS, VERSION))


_JPEG = "image/jpeg"
_LOCATION = {"Location": "the path of what was made"}

OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/api/info", get_info, "What a page needs to know", answer=Info),
    Operation(
        "GET",
        "/api/streams",
        list_streams,
        "All streams",
        answer=Streams,
        scopes=("watch", "control"),
    ),
    Operation(
        "POST",
        "/api/streams",
        create_stream,
        "Restyle a source that the server reads",
        status=201,
        answer=Stream,
        body=NewStream,
        errors=(409, 503),
        scopes=("control",),
        headers=_LOCATION,
    ),
    Operation(
        "GET",
        "/api/streams/{id}",
        get_stream,
        "One stream",
        answer=Stream,
        scopes=("watch", "control"),
    ),
    Operation(
        "PATCH",
        "/api/streams/{id}",
        change_stream,
        "Change style, strength, fade time, or switch the style on and off",
        answer=Stream,
        body=StreamChange,
        scopes=("control",),
    ),
    Operation(
        "DELETE",
        "/api/streams/{id}",
        close_stream,
        "End a stream",
        status=204,
        scopes=("control",),
    ),
    Operation(
        "GET",
        "/api/styles",
        list_styles,
        "All styles",
        answer=Styles,
        scopes=("watch", "control"),
    ),
    Operation(
        "POST",
        "/api/styles",
        add_style,
        "Make a style of a picture",
        status=201,
        answer=Style,
        body=tuple(_PICTURES),
        query=TitleQuery,
        errors=(503,),
        scopes=("control",),
        headers=_LOCATION,
    ),
    Operation(
        "POST",
        "/api/styles/kept",
        keep_style,
        "Keep a style expression as a style, here and in the user's own pack",
        status=201,
        answer=Style,
        body=NewStyle,
        errors=(409,),
        scopes=("control",),
        headers=_LOCATION,
    ),
    Operation(
        "POST",
        "/api/explore",
        explore_styles,
        "Variations of a style to choose from, or the next ones bred from those that pleased",
        answer=Candidates,
        body=Exploration,
        scopes=("control",),
    ),
    Operation(
        "POST",
        "/api/preview",
        preview_style,
        "The running picture in a style",
        answer=_JPEG,
        body=Preview,
        errors=(404, 503),
        scopes=("control",),
    ),
    Operation(
        "GET",
        "/api/styles/{name}/thumbnail",
        get_thumbnail,
        "A scene in this style",
        answer=_JPEG,
        scopes=("watch", "control"),
    ),
    Operation(
        "DELETE",
        "/api/styles/{name}",
        remove_style,
        "Forget the style of a picture, or one that was kept",
        status=204,
        scopes=("control",),
    ),
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


def _entry(request: web.Request) -> Entry:
    name = request.match_info["id"]
    entry = request.app[HUB].entry(name)
    if entry is None:
        raise web.HTTPNotFound(text=f"there is no stream {name!r} on the air")
    return entry


def _shelf_style(request: web.Request) -> ShelfStyle:
    name = request.match_info["name"]
    for style in request.app[HUB].shelf.styles():
        if style.name == name:
            return style
    raise web.HTTPNotFound(text=f"there is no style {name!r}")


def _style(style: ShelfStyle) -> Style:
    return Style(
        name=style.name,
        title=style.title,
        author=style.author,
        year=style.year,
        licence=style.licence,
        kind=style.kind,
        thumbnail=f"/api/styles/{style.name}/thumbnail",
    )


def _ice(server: IceServer) -> IceServerInfo:
    secret = server.credential
    return IceServerInfo(
        urls=server.urls,
        username=server.username,
        credential=None if secret is None else secret.get_secret_value(),
    )


def _decode(data: bytes, kind: str, most_pixels: int) -> Picture:
    try:
        return decode_picture(data, "sent", formats=(kind,), most_pixels=most_pixels)
    except TooManyPixels as error:
        raise web.HTTPRequestEntityTooLarge(
            max_size=most_pixels, actual_size=most_pixels + 1, text=str(error)
        ) from error
    except InputError as error:
        raise web.HTTPUnsupportedMediaType(text=str(error)) from error


def _json(
    answer: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        text=answer.model_dump_json(),
        status=status,
        content_type="application/json",
        headers=headers,
    )
