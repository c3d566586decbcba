"""The client's side of WHIP (RFC 9725) and WHEP: an offer is posted, a session deleted."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urljoin

import aiohttp
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)

from streamfx.endpoints import Endpoint
from streamfx.errors import StreamFXError
from streamfx.live.encoders import profile_level_id
from streamfx.server.aiortc_internals import offer_addresses

TIMEOUT = 10.0  # seconds that an answer, and then the connection, may take
_GOODBYE = 2.0
_MOST_ANSWER = 256 << 10
_SDP = "application/sdp"
_LOWEST_LEVEL = 31
_REASONS = {
    401: "it wants a token: give #token=… (or #token=$NAME)",
    403: "the token is not allowed there",
    404: "there is no such stream",
    406: "no codec of ours is spoken there",
    409: "somebody publishes there already",
    503: "it has no room now",
}


class Session:
    """A session with a WHIP or WHEP endpoint; all on one event loop.

    Attributes:
        connection: add transceivers before `open`.
        ended: set when the connection is over, by either side.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.ended = asyncio.Event()
        self._endpoint = endpoint
        self._location: str | None = None
        self._connected = asyncio.Event()
        self._http: aiohttp.ClientSession | None = None
        self.connection.on("connectionstatechange", self._changed)

    async def open(self, level: int | None = None) -> None:
        """Post the offer, take the answer, and wait until the connection stands.

        Args:
            level: H.264 level_idc to offer, for what is sent.

        Raises:
            StreamFXError, OSError: it did not come about.
        """
        connection = self.connection
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        async with asyncio.timeout(2 * TIMEOUT):
            await connection.setLocalDescription(await self._described())
            text = connection.localDescription.sdp
            if level is not None:
                text = with_level(text, level)
            answer = await self._post(text)
            try:
                await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            except Exception as error:  # aiortc raises plain types for what it cannot read
                raise StreamFXError("its answer cannot be understood") from error
            await self._stands()

    async def close(self) -> None:
        """End the session and say so; again it does nothing."""
        http, self._http = self._http, None
        if http is not None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with asyncio.timeout(_GOODBYE):
                    if self._location is not None:
                        await http.delete(self._location, headers=self._headers())
            await http.close()
        await self.connection.close()
        self.ended.set()

    async def _described(self) -> RTCSessionDescription:
        offer = await self.connection.createOffer()
        offer_addresses(self.connection, _side_of(self._endpoint.url.hostname or ""))
        return offer

    async def _stands(self) -> None:
        waits = [asyncio.ensure_future(e.wait()) for e in (self._connected, self.ended)]
        try:
            done, _ = await asyncio.wait(
                waits, timeout=TIMEOUT, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()
        if not done or self.ended.is_set():
            raise StreamFXError("no connection could be made to its media server")

    async def _post(self, offer: str) -> str:
        assert self._http is not None
        headers = {"Content-Type": _SDP, **self._headers()}
        url = self._endpoint.target
        try:
            async with self._http.post(url, data=offer.encode(), headers=headers) as response:
                body = await response.content.read(_MOST_ANSWER)
                if response.status != 201:
                    reason = _REASONS.get(response.status, "")
                    raise StreamFXError(f"refused with {response.status}: {reason or 'no reason'}")
                location = response.headers.get("Location")
                self._location = urljoin(str(response.url), location) if location else None
                return body.decode("utf-8", "replace")
        except aiohttp.ClientError as error:
            said = getattr(error, "strerror", None) or type(error).__name__
            raise StreamFXError(f"it cannot be reached: {said}") from error

    def _headers(self) -> dict[str, str]:
        token = self._endpoint.options.get("token")
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    def _changed(self) -> None:
        state = self.connection.connectionState
        if state == "connected":
            self._connected.set()
        elif state in ("closed", "failed"):
            self.ended.set()


def capabilities(kind: str, names: Sequence[str]) -> list[Any]:
    """Codecs as setCodecPreferences takes them, with their retransmission."""
    known: list[Any] = RTCRtpSender.getCapabilities(kind).codecs
    chosen = [c for name in names for c in known if c.name.lower() == name]
    # Of H.264, constrained baseline alone: it is what is sent.
    chosen = [
        c
        for c in chosen
        if c.name.lower() != "h264"
        or str(c.parameters.get("profile-level-id", "")).startswith("42e0")
    ]
    return chosen + [c for c in known if c.name.lower() == "rtx"]


def with_level(sdp: str, level: int) -> str:
    """The offer with a higher H.264 level than 3.1, where one is needed."""
    if level <= _LOWEST_LEVEL:
        return sdp
    return re.sub(
        rf"profile-level-id={profile_level_id(_LOWEST_LEVEL)}",
        f"profile-level-id={profile_level_id(level)}",
        sdp,
        flags=re.IGNORECASE,
    )


def _side_of(host: str) -> str:
    """The address to offer candidates for: loopback where the other side is on this machine."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return host if ipaddress.ip_address(host).is_loopback else "0.0.0.0"
    except ValueError:
        return "0.0.0.0"
