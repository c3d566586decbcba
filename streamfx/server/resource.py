"""What WHIP and WHEP share: an offer is posted, and a session is patched and deleted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from aiohttp import web
from aiortc import RTCIceServer
from aiortc.rtcicetransport import connection_kwargs

from streamfx.errors import InputError
from streamfx.server.auth import require
from streamfx.server.config import CONFIG, ServerConfig
from streamfx.server.requests import read_body
from streamfx.server.sdp import (
    Direction,
    NothingFits,
    Offer,
    ice_links,
    read_fragment,
    read_offer,
)
from streamfx.server.sessions import SESSIONS, Session

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
_MOST_FRAGMENT = 16 << 10


def ice_servers(config: ServerConfig) -> list[RTCIceServer]:
    """The configured ICE servers as aiortc takes them.

    Raises:
        InputError: one cannot be used.
    """
    servers = [
        RTCIceServer(
            urls=list(server.urls),
            username=server.username,
            credential=server.credential.get_secret_value() if server.credential else None,
        )
        for server in config.ice_servers
    ]
    for server in servers:
        try:
            connection_kwargs([server])
        except ValueError as error:
            raise InputError(
                f"the ICE server {', '.join(server.urls)} cannot be used ({error}); write it "
                "as stun:HOST:PORT or turn:HOST:PORT?transport=udp"
            ) from error
    return servers


@contextlib.contextmanager
def acceptable() -> Iterator[None]:
    """An offer in which nothing fits is answered with 406."""
    try:
        yield
    except NothingFits as error:
        raise web.HTTPNotAcceptable(text=str(error)) from error


async def posted_offer(request: web.Request, direction: Direction) -> Offer:
    """The offer in a request's body.

    Raises:
        InputError: it is malformed.
        web.HTTPException: it is too large (413), of another type (415), or nothing fits (406).
    """
    body = await read_body(request, (SDP,), request.app[CONFIG].limits.sdp_bytes)
    with acceptable():
        return read_offer(body, direction)


def created(request: web.Request, session: Session, answer: str) -> web.Response:
    """201 with the answer; the secret is in the path, for OBS drops a query."""
    protocol = "whip" if session.direction == "publish" else "whep"
    response = web.Response(
        status=201,
        body=answer.encode(),
        headers={
            "Content-Type": SDP,
            "Location": f"/{protocol}/session/{session.secret}",
            "ETag": session.etag,
            "Accept-Patch": FRAGMENT,
        },
    )
    servers = request.app[CONFIG].ice_servers
    secrets = [server.credential for server in servers]
    credentials = [secret.get_secret_value() if secret else None for secret in secrets]
    for link in ice_links(servers, credentials):
        response.headers.add("Link", link)
    return response


def _session(request: web.Request, direction: Direction) -> Session:
    require(request, direction)
    session = request.app[SESSIONS].find(direction, request.match_info["secret"])
    if session is None:
        raise web.HTTPNotFound(text="there is no such session; it may have ended")
    return session


async def delete(request: web.Request, direction: Direction) -> web.Response:
    """DELETE of a session: it ends, 200."""
    session = _session(request, direction)
    await request.app[SESSIONS].end(session, "deleted by its client")
    return web.Response(status=200)


async def patch(request: web.Request, direction: Direction) -> web.Response:
    """PATCH of a session: candidates that came after the offer (RFC 9725 section 4.3), 204.

    Raises:
        InputError: the fragment or a candidate is malformed.
        web.HTTPException: 428 without If-Match, 412 with a stale one, 422 for an ICE restart.
    """
    session = _session(request, direction)
    body = await read_body(request, (FRAGMENT,), _MOST_FRAGMENT)
    match = request.headers.get("If-Match")
    if match is None:
        raise web.HTTPPreconditionRequired(text="send the session's ETag as If-Match")
    fragment = read_fragment(body)
    if match == "*" or fragment.username not in (None, session.username):
        raise web.HTTPUnprocessableEntity(
            text="ICE restarts are not possible; end the session and post a new offer"
        )
    if match != session.etag:
        raise web.HTTPPreconditionFailed(text="the If-Match is not this session's ETag")
    await session.peer.add_candidates(fragment.candidates)
    return web.Response(status=204)


async def options(request: web.Request) -> web.Response:
    """OPTIONS that are no preflight: what is taken here."""
    takes = "Accept-Post" if "id" in request.match_info else "Accept-Patch"
    kind = SDP if takes == "Accept-Post" else FRAGMENT
    return web.Response(status=204, headers={takes: kind})
