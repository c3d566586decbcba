"""Reading what clients send, bounded in bytes and time, and saying what is wrong with it."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from streamfx.errors import InputError

Model = TypeVar("Model", bound=BaseModel)

_SECONDS = 30.0  # that a body may take


async def read_body(request: web.Request, kinds: tuple[str, ...], most: int) -> bytes:
    """The body of a request.

    Args:
        kinds: the media types that are taken.
        most: bytes.

    Raises:
        InputError: it breaks off, or is not in the encoding that its headers name.
        web.HTTPUnsupportedMediaType, web.HTTPRequestEntityTooLarge, web.HTTPRequestTimeout:
            it is of another type, larger, or slower than 30 s.
    """
    if request.content_type not in kinds:
        raise web.HTTPUnsupportedMediaType(
            text=f"the body must be {' or '.join(kinds)}, not {request.content_type[:100]!r}"
        )
    too_large = web.HTTPRequestEntityTooLarge(
        max_size=most,
        actual_size=request.content_length or most + 1,
        text=f"the body is larger than {most} bytes",
    )
    if (request.content_length or 0) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > most:
                    raise too_large
    except TimeoutError as error:
        raise web.HTTPRequestTimeout(text="the body did not arrive in time") from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise InputError("the body breaks off, or is not encoded as its headers say") from error
    return bytes(body)


async def read_json(request: web.Request, model: type[Model], most: int) -> Model:
    """The JSON body of a request.

    Raises:
        InputError: it is not JSON, or not what `model` wants.
        web.HTTPException: as `read_body`.
    """
    body = await read_body(request, ("application/json",), most)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InputError(_first_fault(error, "the body")) from error


def read_query(request: web.Request, model: type[Model]) -> Model:
    """The query of a request.

    Raises:
        InputError: it is not what `model` wants.
    """
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise InputError(_first_fault(error, "the query")) from error


def _first_fault(error: ValidationError, what: str) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{what} is wrong{' at ' if where else ''}{where[:100]}: {first['msg']}"
