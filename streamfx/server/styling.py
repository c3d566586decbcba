"""Styles over HTTP: listed, made of a picture, kept, explored and forgotten."""

from __future__ import annotations

import asyncio
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, StringConstraints

from streamfx.errors import InputError
from streamfx.live.shelf import ShelfStyle
from streamfx.pictures import Picture, TooManyPixels, decode_picture
from streamfx.server.answers import LOCATION, json_answer
from streamfx.server.config import CONFIG
from streamfx.server.exploring import explore_styles, preview_style
from streamfx.server.hub import HUB, Busy
from streamfx.server.models import Candidates, Exploration, NewStyle, Preview, Style, Styles
from streamfx.server.openapi import Operation
from streamfx.server.requests import read_body, read_json, read_query

_JPEG = "image/jpeg"
_PICTURES = {_JPEG: "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
MOST_UPLOADS = 4  # pictures that are read and decoded at a time

UPLOADS: web.AppKey[asyncio.Semaphore] = web.AppKey("uploads", asyncio.Semaphore)


class TitleQuery(BaseModel):
    """What the picture is called."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, StringConstraints(max_length=200)] = "picture"


async def list_styles(request: web.Request) -> web.Response:
    return json_answer(Styles(styles=[_style(style) for style in request.app[HUB].shelf.styles()]))


async def get_thumbnail(request: web.Request) -> web.Response:
    shelf = request.app[HUB].shelf
    name = _shelf_style(request).name
    jpeg = await asyncio.to_thread(shelf.thumbnail, name)
    return web.Response(body=jpeg, content_type=_JPEG)


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
    return json_answer(_style(style), status=201, headers={"Location": location})


async def keep_style(request: web.Request) -> web.Response:
    shelf = request.app[HUB].shelf
    wanted = await read_json(request, NewStyle, request.app[CONFIG].limits.json_bytes)
    if wanted.name in shelf.names():
        raise web.HTTPConflict(text=f"there is a style {wanted.name!r} already; take another name")
    style = await asyncio.to_thread(shelf.save, wanted.name, wanted.style, wanted.title)
    return json_answer(_style(style), status=201, headers={"Location": f"/api/styles/{style.name}"})


async def remove_style(request: web.Request) -> web.Response:
    style = _shelf_style(request)
    if style.kind == "catalogue":
        raise web.HTTPForbidden(text=f"the style {style.name!r} belongs to the pack and stays")
    await asyncio.to_thread(request.app[HUB].shelf.remove, style.name)
    return web.Response(status=204)


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


def _decode(data: bytes, kind: str, most_pixels: int) -> Picture:
    try:
        return decode_picture(data, "sent", formats=(kind,), most_pixels=most_pixels)
    except TooManyPixels as error:
        raise web.HTTPRequestEntityTooLarge(
            max_size=most_pixels, actual_size=most_pixels + 1, text=str(error)
        ) from error
    except InputError as error:
        raise web.HTTPUnsupportedMediaType(text=str(error)) from error


OPERATIONS: tuple[Operation, ...] = (
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
        headers=LOCATION,
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
        headers=LOCATION,
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
)
