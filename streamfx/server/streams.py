"""Streams over HTTP: opened, changed and closed, and where else they are sent."""

from __future__ import annotations

import asyncio

from aiohttp import web

from streamfx.endpoints import Endpoint
from streamfx.live.settings import ControlChange
from streamfx.server.answers import LOCATION, json_answer
from streamfx.server.config import CONFIG, ServerConfig
from streamfx.server.hub import HUB, Busy, Entry
from streamfx.server.models import (
    NewSink,
    NewStream,
    Percentiles,
    Sink,
    Stats,
    Stream,
    StreamChange,
    Streams,
)
from streamfx.server.openapi import Operation
from streamfx.server.requests import read_json
from streamfx.server.sinks import SinkPolicy
from streamfx.server.sources import Admitted, SourcePolicy
from streamfx.sinks import SinkStatus

MOST_ADMISSIONS = 4  # names that are looked up at a time

ADMISSIONS: web.AppKey[asyncio.Semaphore] = web.AppKey("admissions", asyncio.Semaphore)


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
        audio_delay_ms=control.audio_delay_ms,
        source=entry.origin,
        source_error=entry.source_error,
        sinks=[_sink(number, sink.status) for number, sink in entry.sinks.items()],
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


async def list_streams(request: web.Request) -> web.Response:
    return json_answer(Streams(streams=[view(entry) for entry in request.app[HUB].entries()]))


async def create_stream(request: web.Request) -> web.Response:
    config, hub = request.app[CONFIG], request.app[HUB]
    wanted = await read_json(request, NewStream, config.limits.json_bytes)
    async with _admitting(request):
        # Following links touches the disk, and looking up hosts the network.
        source, sinks = await asyncio.to_thread(_admit, config, wanted)
    entry = await hub.start(
        source,
        name=wanted.id,
        loop=wanted.loop,
        sinks=sinks,
        style=wanted.style,
        strength=wanted.strength,
        audio_delay_ms=wanted.audio_delay_ms,
    )
    location = f"/api/streams/{entry.stream.name}"
    return json_answer(view(entry), status=201, headers={"Location": location})


async def get_stream(request: web.Request) -> web.Response:
    return json_answer(view(_entry(request)))


async def change_stream(request: web.Request) -> web.Response:
    change = await read_json(request, StreamChange, request.app[CONFIG].limits.json_bytes)
    entry = _entry(request)
    entry.stream.set_control(ControlChange(**change.model_dump()))
    request.app[HUB].changed.set()
    return json_answer(view(entry))


async def close_stream(request: web.Request) -> web.Response:
    await request.app[HUB].close(_entry(request).stream.name)
    return web.Response(status=204)


async def add_sink(request: web.Request) -> web.Response:
    config = request.app[CONFIG]
    wanted = await read_json(request, NewSink, config.limits.json_bytes)
    entry = _entry(request)
    async with _admitting(request):
        endpoint = await asyncio.to_thread(lambda: SinkPolicy(config).admit(wanted.sink))
    number = await request.app[HUB].add_sink(entry, endpoint)
    location = f"/api/streams/{entry.stream.name}/sinks/{number}"
    answer = _sink(number, entry.sinks[number].status)
    return json_answer(answer, status=201, headers={"Location": location})


async def get_sink(request: web.Request) -> web.Response:
    number = request.match_info["sink"]
    sink = _entry(request).sinks.get(number)
    if sink is None:
        raise _no_sink(number)
    return json_answer(_sink(number, sink.status))


async def remove_sink(request: web.Request) -> web.Response:
    number = request.match_info["sink"]
    if not await request.app[HUB].remove_sink(_entry(request), number):
        raise _no_sink(number)
    return web.Response(status=204)


def _admitting(request: web.Request) -> asyncio.Semaphore:
    admissions = request.app[ADMISSIONS]
    if admissions.locked():
        raise Busy(f"{MOST_ADMISSIONS} sources and sinks are being looked up already; try again")
    return admissions


def _admit(config: ServerConfig, wanted: NewStream) -> tuple[Admitted, list[Endpoint]]:
    sinks = SinkPolicy(config)
    return SourcePolicy(config).admit(wanted.source), [sinks.admit(name) for name in wanted.sinks]


def _entry(request: web.Request) -> Entry:
    name = request.match_info["id"]
    entry = request.app[HUB].entry(name)
    if entry is None:
        raise web.HTTPNotFound(text=f"there is no stream {name!r} on the air")
    return entry


def _no_sink(number: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=f"the stream has no sink {number}")


def _sink(number: str, status: SinkStatus) -> Sink:
    return Sink(
        id=number,
        sink=status.shown,
        state=status.state,
        pictures=status.pictures,
        sent_bytes=status.sent_bytes,
        dropped=status.dropped,
        connects=status.connects,
        error=status.error,
    )


OPERATIONS: tuple[Operation, ...] = (
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
        errors=(404, 409, 503),
        scopes=("control",),
        headers=LOCATION,
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
        "Change style, strength, fade time, sound delay, or switch the style on and off",
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
        "POST",
        "/api/streams/{id}/sinks",
        add_sink,
        "Send a stream to one more place",
        status=201,
        answer=Sink,
        body=NewSink,
        errors=(409, 503),
        scopes=("control",),
        headers=LOCATION,
    ),
    Operation(
        "GET",
        "/api/streams/{id}/sinks/{sink}",
        get_sink,
        "How one sink is doing",
        answer=Sink,
        scopes=("watch", "control"),
    ),
    Operation(
        "DELETE",
        "/api/streams/{id}/sinks/{sink}",
        remove_sink,
        "Finish a sink",
        status=204,
        scopes=("control",),
    ),
)
