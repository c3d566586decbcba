"""What the HTTP API's answers have in common."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel

LOCATION = {"Location": "the path of what was made"}


def json_answer(
    answer: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """A model as a JSON body."""
    return web.Response(
        text=answer.model_dump_json(),
        status=status,
        content_type="application/json",
        headers=headers,
    )
