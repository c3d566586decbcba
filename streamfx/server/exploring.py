"""Exploring styles over HTTP: variations to choose from, seen on the running picture, and kept."""

from __future__ import annotations

import asyncio

from aiohttp import web

from streamfx.color import frame_to_rgb
from streamfx.demo import draw
from streamfx.explore import explore
from streamfx.frames import Frame
from streamfx.live.shelf import StyleShelf
from streamfx.server.config import CONFIG
from streamfx.server.hub import HUB, Busy
from streamfx.server.models import Candidates, Exploration, Preview
from streamfx.server.requests import read_json

MOST_PREVIEWS = 32  # that wait or are drawn at a time

PREVIEWS: web.AppKey[asyncio.Semaphore] = web.AppKey("previews", asyncio.Semaphore)

_SCENE = (320, 180)
_SCENE_TIME = 3.0


async def explore_styles(request: web.Request) -> web.Response:
    wanted = await read_json(request, Exploration, request.app[CONFIG].limits.json_bytes)
    shown = explore(
        wanted.like,
        wanted.kept,
        generation=wanted.generation,
        seed=wanted.seed,
        count=wanted.count,
    )
    return web.Response(
        text=Candidates(styles=shown).model_dump_json(), content_type="application/json"
    )


async def preview_style(request: web.Request) -> web.Response:
    wanted = await read_json(request, Preview, request.app[CONFIG].limits.json_bytes)
    shelf = request.app[HUB].shelf
    latest = None
    if wanted.stream is not None:
        entry = request.app[HUB].entry(wanted.stream)
        if entry is None:
            raise web.HTTPNotFound(text=f"there is no stream {wanted.stream!r} on the air")
        latest = entry.stream.latest
    if request.app[PREVIEWS].locked():
        raise Busy(f"{MOST_PREVIEWS} previews are being drawn already; try again")
    async with request.app[PREVIEWS]:
        jpeg = await asyncio.to_thread(_drawn, shelf, latest, wanted.style)
    return web.Response(body=jpeg, content_type="image/jpeg")


def _drawn(shelf: StyleShelf, latest: Frame | None, expression: str) -> bytes:
    rgb = draw(_SCENE_TIME, *_SCENE) if latest is None else frame_to_rgb(latest)
    return shelf.preview(rgb, expression)
