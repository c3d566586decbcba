"""WHIP push: a stream to an SFU or another server, over WebRTC."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import av
from aiortc.mediastreams import MediaStreamError

from streamfx.endpoints import Endpoint
from streamfx.errors import StreamFXError
from streamfx.live.encoders import level_for
from streamfx.live.fanout import Viewer
from streamfx.live.restyle import retry_after
from streamfx.live.rungs import Codec
from streamfx.live.sources import ThreadedSource
from streamfx.live.stream import LiveStream
from streamfx.rtc_client import Session, capabilities
from streamfx.server.aiortc_internals import SenderTap, negotiated_codecs
from streamfx.server.tracks import PacketTrack
from streamfx.sinks.base import reason_of
from streamfx.sinks.status import Board, SinkStatus

_LOOK_EVERY = 0.25  # seconds
_STEADY = 30.0  # seconds of connection after which a failure counts as the first one

log = logging.getLogger(__name__)


class WhipSink(ThreadedSource):
    """Publishes a stream by WHIP, and connects again when the connection ends.

    Args:
        say: takes one sentence about every change.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        stream: LiveStream,
        *,
        say: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(f"{stream.name}-whip")
        self._endpoint = endpoint
        self._stream = stream
        self._board = Board(endpoint.shown, say or (lambda text: log.info("%s", text)))

    @property
    def status(self) -> SinkStatus:
        """How it is doing."""
        return self._board.status

    def _run(self) -> None:
        asyncio.run(self._publish())
        self._board.enter("closed")

    async def _publish(self) -> None:
        failures = 0
        while not self._over():
            if self._stream.stats().size_out is None:
                await asyncio.sleep(_LOOK_EVERY)
                continue
            self._board.enter("connecting")
            begun = time.monotonic()
            try:
                await self._connection()
            except TimeoutError:
                self._board.failed("it does not answer")
            except (OSError, StreamFXError) as error:
                self._board.failed(reason_of(error))
            except Exception as error:  # a thread must not end in silence
                log.exception("%s failed", self._endpoint.shown)
                self._board.failed(type(error).__name__)
            failures = 1 if time.monotonic() - begun > _STEADY else failures + 1
            await self._rest(retry_after(failures))

    async def _connection(self) -> None:
        """One connection, until it ends or the sink stops.

        Raises:
            StreamFXError, OSError, TimeoutError: it ended otherwise.
        """
        session = Session(self._endpoint)
        sending = _Sending(self._stream, self._board, session, self._endpoint.bitrate)
        try:
            size = self._stream.stats().size_out
            assert size is not None
            await session.open(level_for(*size, self._stream.settings.fps))
            sending.check()
            self._board.began()
            while not self._over() and not session.ended.is_set():
                await asyncio.sleep(_LOOK_EVERY)
            if not self._over():
                raise StreamFXError("the connection ended")
        finally:
            sending.close()
            await session.close()

    def _over(self) -> bool:
        return self._stop.is_set() or self._stream.stats().state == "closed"

    async def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._over() and time.monotonic() < end:
            await asyncio.sleep(_LOOK_EVERY)


class _Sending:
    """The two tracks of a connection, fed by one viewer of the stream."""

    def __init__(
        self, stream: LiveStream, board: Board, session: Session, bitrate: int | None
    ) -> None:
        self._stream = stream
        self._board = board
        self._session = session
        self._bitrate = bitrate or stream.settings.start_bitrate
        self._loop = asyncio.get_running_loop()
        self._viewer: Viewer | None = None
        self._codec: Codec | None = None
        self._tracks: list[PacketTrack] = []
        self._transceivers: dict[str, Any] = {}
        wall_offset = time.time() - time.monotonic()
        for kind, codecs in (("video", ("h264", "vp8")), ("audio", ("opus",))):
            track = PacketTrack(kind, self._next, session.ended.set)
            transceiver = session.connection.addTransceiver(track, "sendonly")
            transceiver.setCodecPreferences(capabilities(kind, codecs))
            track.tap = SenderTap(
                transceiver.sender,
                wall_offset=wall_offset,
                on_key_frame=self._key_frame,
                on_bandwidth=self._bandwidth,
            )
            self._tracks.append(track)
            self._transceivers[kind] = transceiver

    def check(self) -> None:
        """Take the codec that was agreed on.

        Raises:
            StreamFXError: it is none of ours.
        """
        names = [name.lower() for name in negotiated_codecs(self._transceivers["video"])]
        if names[:1] == ["h264"]:
            self._codec = "h264"
        elif names[:1] == ["vp8"]:
            self._codec = "vp8"
        else:
            raise StreamFXError("it takes neither H.264 nor VP8")
        self._wake_tracks()

    def close(self) -> None:
        """Leave the stream."""
        if self._viewer is not None:
            self._board.lost(self._viewer.dropped)
            self._viewer.close()

    def _next(self, kind: str) -> av.Packet[Any] | None:
        if self._codec is None:  # not agreed on yet
            return None
        if self._viewer is None:
            self._viewer = self._stream.subscribe(self._codec, self._wake)
            self._viewer.report_bandwidth(self._bitrate)
        viewer = self._viewer
        packet = viewer.next_video() if kind == "video" else viewer.next_audio()
        if packet is None:
            if viewer.closed:
                raise MediaStreamError
            return None
        self._board.sent(packet.size, picture=kind == "video")
        return packet

    def _wake(self) -> None:
        """On a thread of the stream."""
        try:
            self._loop.call_soon_threadsafe(self._wake_tracks)
        except RuntimeError:  # the loop is closed
            self._viewer = None

    def _wake_tracks(self) -> None:
        for track in self._tracks:
            track.waiting.set()

    def _key_frame(self) -> None:
        if self._viewer is not None:
            self._viewer.request_key_frame()

    def _bandwidth(self, bits_per_second: int) -> None:
        if self._viewer is not None:
            self._viewer.report_bandwidth(min(bits_per_second, self._bitrate))
