"""Where WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) meet the application.

Preflights, origins and the text of errors are `streamfx.server.app`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from streamfx.server import resource, whep, whip
from streamfx.server.config import CONFIG, STREAM_ID
from streamfx.server.hub import HUB
from streamfx.server.sessions import SESSIONS, Sessions

_SECRET = "[A-Za-z0-9_-]{1,64}"


def setup(app: web.Application) -> None:
    """Add the routes, and the sessions of `app[HUB]`, to an application.

    Raises:
        InputError: a configured ICE server cannot be used.
    """
    resource.ice_servers(app[CONFIG])
    app[SESSIONS] = Sessions(app[HUB], app[CONFIG])
    app.add_routes(
        [
            web.post(f"/whip/{{id:{STREAM_ID}}}", whip.publish),
            web.post(f"/whep/{{id:{STREAM_ID}}}", whep.watch),
            web.options(f"/whip/{{id:{STREAM_ID}}}", resource.options),
            web.options(f"/whep/{{id:{STREAM_ID}}}", resource.options),
            web.delete(f"/whip/session/{{secret:{_SECRET}}}", whip.end),
            web.delete(f"/whep/session/{{secret:{_SECRET}}}", whep.end),
            web.patch(f"/whip/session/{{secret:{_SECRET}}}", whip.trickle),
            web.patch(f"/whep/session/{{secret:{_SECRET}}}", whep.trickle),
            web.options(f"/whip/session/{{secret:{_SECRET}}}", resource.options),
            web.options(f"/whep/session/{{secret:{_SECRET}}}", resource.options),
        ]
    )


def sessions(app: web.Application) -> Mapping[tuple[str, str], int]:
    """("publish" | "watch", "connecting" | "connected" | "closed") -> sessions."""
    return app[SESSIONS].counts()


async def close_sessions(app: web.Application) -> None:
    """End all sessions: publishers and viewers are told."""
    await app[SESSIONS].close()
