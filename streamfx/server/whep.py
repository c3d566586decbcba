"""WHEP (draft-ietf-wish-whep): a client posts an offer and is sent a stream."""

from __future__ import annotations

from aiohttp import web

from streamfx.live.encoders import level_for
from streamfx.live.stream import LiveStream
from streamfx.server.auth import require
from streamfx.server.config import CONFIG
from streamfx.server.hub import HUB
from streamfx.server.peers import Watcher
from streamfx.server.resource import (
    acceptable,
    created,
    delete,
    ice_servers,
    patch,
    posted_offer,
)
from streamfx.server.sdp import username_of
from streamfx.server.sessions import SESSIONS, Session, close_peer


async def watch(request: web.Request) -> web.Response:
    """`POST /whep/{id}`: the offer of a viewer -> 201 and the answer.

    Raises:
        InputError, Busy: the offer is malformed, there is no room.
        web.HTTPException: 401, 404 where the stream is not on the air, 406, 413, 415.
    """
    require(request, "watch")
    name, sessions, config = request.match_info["id"], request.app[SESSIONS], request.app[CONFIG]
    offer = await posted_offer(request, "watch")
    live = request.app[HUB].get(name)
    if live is None:
        raise web.HTTPNotFound(text=f"the stream {name!r} is not on the air")
    with sessions.reserve("watch"), acceptable():
        peer = Watcher(config.host, live, ice_servers(config))
        try:
            answer = await peer.answer(offer, _level(live))
        except BaseException:
            await close_peer(peer)
            raise
        session = Session("watch", name, peer, username_of(offer.text))
        sessions.add(session)
    return created(request, session, answer)


def _level(live: LiveStream) -> int:
    """The H.264 level of what is sent, or before the first frame of the most that may be."""
    settings = live.settings
    size = live.stats().size_out or settings.size or settings.max_size
    return level_for(*size, settings.fps)


async def end(request: web.Request) -> web.Response:
    """`DELETE /whep/session/{secret}`."""
    return await delete(request, "watch")


async def trickle(request: web.Request) -> web.Response:
    """`PATCH /whep/session/{secret}`."""
    return await patch(request, "watch")
