"""WHIP (RFC 9725): a client posts an offer and sends a stream."""

from __future__ import annotations

from aiohttp import web

from streamfx.server.auth import require
from streamfx.server.config import CONFIG
from streamfx.server.hub import HUB
from streamfx.server.peers import Publisher
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


async def publish(request: web.Request) -> web.Response:
    """`POST /whip/{id}`: the offer of a publisher -> 201 and the answer.

    Raises:
        InputError, Busy, Taken: the offer is malformed, there is no room, somebody publishes.
        web.HTTPException: 401, 406, 413, 415.
    """
    require(request, "publish")
    name, sessions, config = request.match_info["id"], request.app[SESSIONS], request.app[CONFIG]
    offer = await posted_offer(request, "publish")
    with sessions.reserve("publish"), acceptable():
        peer = Publisher(config.host, ice_servers(config))
        try:
            answer = await peer.answer(offer)
            live = request.app[HUB].open(name)
        except BaseException:
            await close_peer(peer)
            raise
        peer.sink = live
        session = Session("publish", name, peer, username_of(offer.text), live)
        sessions.add(session)
    return created(request, session, answer)


async def end(request: web.Request) -> web.Response:
    """`DELETE /whip/session/{secret}`."""
    return await delete(request, "publish")


async def trickle(request: web.Request) -> web.Response:
    """`PATCH /whip/session/{secret}`."""
    return await patch(request, "publish")
