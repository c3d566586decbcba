"""The studio's files. They are part of the program, so the policy for scripts can be strict."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from streamfx.server.config import STREAM_ID

STUDIO = Path(__file__).parent.parent / "studio"

_TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json"}
_HEADERS = {
    # Browsers ask again each time and mostly get 304: a new version shows at once.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: mediastream:; "
        "style-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'self'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
}


def routes() -> list[web.RouteDef]:
    """The studio at `/`, the viewer's page at `/watch/ID`, and their files."""
    return [
        web.get("/", _page("index.html")),
        web.get(f"/watch/{{id:{STREAM_ID}}}", _page("watch.html")),
        web.get("/studio/{name:[A-Za-z0-9._-]+}", _file),
    ]


def _page(name: str) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return _answer(STUDIO / name)

    return handler


async def _file(request: web.Request) -> web.StreamResponse:
    return _answer(STUDIO / request.match_info["name"])


def _answer(path: Path) -> web.StreamResponse:
    if not path.is_file():
        raise web.HTTPNotFound(text=f"the studio has no file {path.name!r}")
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return web.FileResponse(
        path, headers={**_HEADERS, "Content-Type": kind or "application/octet-stream"}
    )
