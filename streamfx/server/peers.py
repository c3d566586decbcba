"""The two kinds of WebRTC peers: one that sends a stream in, one that watches it.

A peer answers one offer, then lives until its connection ends or `close` is called. All runs on
one event loop but what comes from a stream's or a decoder's thread, which is said there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol

import av
import numpy as np
from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcicetransport import RTCIceCandidate
from numpy.typing import NDArray

from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Frame
from streamfx.media.planes import NATIVE, Orientation, color_of, planes_of
from streamfx.server.aiortc_internals import (
    Decoded,
    ReceiverTap,
    SenderTap,
    negotiated_codecs,
    offer_addresses,
)
from streamfx.server.rtp_clock import SourceClock
from streamfx.server.sdp import (
    MOST_CANDIDATES,
    PARSE_ERRORS,
    NothingFits,
    Offer,
    VideoCodec,
    answer_publisher,
    answer_viewer,
)
from streamfx.server.tracks import PacketTrack, is_of

VIDEO_RATE, AUDIO_RATE = 90_000, 48_000
NEGOTIATION_SECONDS = 6.0  # OBS waits 8 s for an answer

State = Literal["connecting", "connected", "closed"]
log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where a publisher's frames go; see LiveStream."""

    def push(self, frame: Frame, captured: float) -> None: ...
    def push_audio(self, samples: NDArray[np.int16], captured: float) -> None: ...


class Packets(Protocol):
    """A viewer's packets; see streamfx.live.fanout.Viewer."""

    @property
    def closed(self) -> bool: ...
    def next_video(self) -> av.Packet[Any] | None: ...
    def next_audio(self) -> av.Packet[Any] | None: ...
    def report_bandwidth(self, bits_per_second: int) -> None: ...
    def request_key_frame(self) -> None: ...
    def close(self) -> None: ...


class Broadcast(Protocol):
    """What can be watched; see LiveStream."""

    def subscribe(self, codec: VideoCodec, wake: Callable[[], None]) -> Packets: ...


class Peer:
    """One side of an RTCPeerConnection that answers.

    Args:
        listening: the address of the HTTP server, see `candidate_addresses`.
        ice_servers: none means host candidates alone.

    Attributes:
        ended: set when the connection is over, by either side.
    """

    def __init__(self, listening: str, ice_servers: Iterable[RTCIceServer]) -> None:
        self.ended = asyncio.Event()
        self._listening = listening
        self._candidates = 0
        self._closing: asyncio.Future[None] | None = None
        # An empty list, or aiortc asks a public STUN server.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=list(ice_servers)))
        self._connection.on("connectionstatechange", self._changed)

    @property
    def state(self) -> State:
        state = self._connection.connectionState
        if state in ("closed", "failed"):
            return "closed"
        return "connected" if state == "connected" else "connecting"

    @property
    def heard(self) -> float | None:
        """time.monotonic() of the last packet that came from the other side."""
        raise NotImplementedError

    async def add_candidates(self, candidates: Iterable[RTCIceCandidate]) -> None:
        """Take candidates that came after the offer.

        Raises:
            InputError: they cannot be used, or are too many.
        """
        for candidate in candidates:
            self._candidates += 1
            if self._candidates > MOST_CANDIDATES:
                raise InputError(f"at most {MOST_CANDIDATES} candidates are taken")
            try:
                await self._connection.addIceCandidate(candidate)
            except PARSE_ERRORS as error:
                raise InputError(f"the candidate at {candidate.ip} cannot be used") from error

    async def close(self) -> None:
        """End the connection; the other side is told (RTCP BYE, DTLS close). Idempotent."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._connection.close())
        try:
            # aiortc can't bear that a wait for its end is cancelled.
            await asyncio.shield(self._closing)
        finally:
            self.ended.set()

    async def _negotiate(self, offer: Offer, prepare: Callable[[], None]) -> str:
        """Our description; `prepare` is called when the codecs are settled.

        Raises:
            InputError, NothingFits: the offer cannot be answered.
        """
        connection = self._connection
        try:
            async with asyncio.timeout(NEGOTIATION_SECONDS):
                await connection.setRemoteDescription(RTCSessionDescription(offer.text, "offer"))
                prepare()
                offer_addresses(connection, self._listening)
                await connection.setLocalDescription()
        except TimeoutError as error:
            raise StreamFXError("no ICE candidates were found in time; try again") from error
        except OperationError as error:
            raise NothingFits("a media section has no codec that is spoken here") from error
        except (
            *PARSE_ERRORS,
            InternalError,
            InvalidAccessError,
            InvalidStateError,
        ) as error:
            raise InputError("the offer cannot be answered: it contradicts itself") from error
        return connection.localDescription.sdp

    def _changed(self) -> None:
        if self.state == "closed":
            self.ended.set()


class Publisher(Peer):
    """Sends a stream in: its frames go to the sink that is attached, or nowhere."""

    def __init__(self, listening: str, ice_servers: Iterable[RTCIceServer] = ()) -> None:
        super().__init__(listening, ice_servers)
        self._clock = SourceClock({"video": VIDEO_RATE, "audio": AUDIO_RATE})
        self._taps: list[ReceiverTap] = []
        self._refused = False
        self.sink: Sink | None = None

    @property
    def heard(self) -> float | None:
        return max((tap.heard for tap in self._taps if tap.heard is not None), default=None)

    @property
    def counts(self) -> dict[str, int]:
        """What went wrong on the way in: gaps, frames not decoded, key frames asked for."""
        return {
            "gaps": sum(tap.gaps for tap in self._taps),
            "undecoded": sum(tap.undecoded for tap in self._taps),
            "key_frame_requests": sum(tap.key_frame_requests for tap in self._taps),
        }

    async def answer(self, offer: Offer) -> str:
        """The SDP answer.

        Raises:
            InputError, NothingFits: the offer cannot be answered.
        """
        for kind in offer.kinds:
            wanted = kind == "video" or offer.audio
            transceiver = self._connection.addTransceiver(
                kind, "recvonly" if wanted else "inactive"
            )
            if kind == "audio":
                transceiver.setCodecPreferences(_capabilities("audio", "opus"))
        return answer_publisher(await self._negotiate(offer, self._tap), offer)

    def _tap(self) -> None:
        for receiver in self._connection.getReceivers():
            if receiver.track is not None:
                take = self._picture if receiver.track.kind == "video" else self._sound
                self._taps.append(ReceiverTap(receiver, self._clock, take))

    def _picture(self, picture: Decoded, captured: float) -> None:
        """On the decoder thread."""
        sink = self.sink
        if sink is not None and isinstance(picture, av.VideoFrame):
            if picture.format.name not in NATIVE:
                picture = picture.reformat(format="yuv420p")
            frame = Frame(*planes_of(picture, Orientation()), color=color_of(picture))
            try:
                sink.push(frame, captured)
            except InputError as error:  # of a size that no stream takes
                if not self._refused:
                    log.warning("pictures of a publisher are refused: %s", error)
                self._refused = True

    def _sound(self, sound: Decoded, captured: float) -> None:
        """On the decoder thread; aiortc decodes Opus to 48 kHz stereo int16."""
        sink = self.sink
        if sink is not None and isinstance(sound, av.AudioFrame):
            samples = sound.to_ndarray().reshape(-1, 2)
            sink.push_audio(samples.astype(np.int16, copy=False), captured)


class Watcher(Peer):
    """Watches a stream, from the moment on that the connection stands."""

    def __init__(
        self, listening: str, stream: Broadcast, ice_servers: Iterable[RTCIceServer] = ()
    ) -> None:
        super().__init__(listening, ice_servers)
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._codec: VideoCodec = "h264"
        self._packets: Packets | None = None
        self._tracks: list[PacketTrack] = []
        self._woken = False
        # One offset for both senders and for good: a change of the wall clock moves neither.
        self._wall_offset = time.time() - time.monotonic()

    @property
    def heard(self) -> float | None:
        taps = [track.tap for track in self._tracks if track.tap is not None]
        return max((tap.heard for tap in taps if tap.heard is not None), default=None)

    async def answer(self, offer: Offer, level: int) -> str:
        """The SDP answer; a viewer with H.264 gets that, else VP8.

        Args:
            level: H.264 level_idc of what will be sent.

        Raises:
            InputError, NothingFits: the offer cannot be answered.
        """
        self._codec = offer.codec
        for kind in offer.kinds:
            if kind == "audio" and not offer.audio:
                transceiver = self._connection.addTransceiver(kind, "inactive")
            else:
                track = PacketTrack(kind, self._next, self._finish)
                self._tracks.append(track)
                transceiver = self._connection.addTransceiver(track, "sendonly")
                track.tap = SenderTap(
                    transceiver.sender,
                    wall_offset=self._wall_offset,
                    on_key_frame=self._want_key_frame,
                    on_bandwidth=self._bandwidth,
                )
            # Before setRemoteDescription, or aiortc takes no notice.
            codec = "opus" if kind == "audio" else offer.codec
            transceiver.setCodecPreferences(_capabilities(kind, codec))
        return answer_viewer(await self._negotiate(offer, self._check), level)

    async def close(self) -> None:
        try:
            await super().close()
        finally:  # however long the other side takes: the stream must not go on serving it
            if self._packets is not None:
                self._packets.close()

    def _check(self) -> None:
        for transceiver in self._connection.getTransceivers():
            names = [name.lower() for name in negotiated_codecs(transceiver)]
            wanted = "opus" if transceiver.kind == "audio" else self._codec
            if names[:1] != [wanted]:
                raise NothingFits(f"{wanted} was offered in a form that is not spoken here")

    def _next(self, kind: str) -> av.Packet[Any] | None:
        """The next packet of a track; the first call is when the connection stands.

        Raises:
            MediaStreamError: there will be no more.
        """
        if self._packets is None:
            try:
                self._packets = self._stream.subscribe(self._codec, self._wake)
            except StreamFXError as error:
                raise MediaStreamError from error
        if kind == "audio":
            packet = self._packets.next_audio()
        else:
            packet = self._packets.next_video()
            if packet is not None and not is_of(self._codec, packet):
                log.error("a packet for a viewer is not %s; the viewer is let go", self._codec)
                raise MediaStreamError
        if packet is None and self._packets.closed:
            raise MediaStreamError
        return packet

    def _finish(self) -> None:
        self.ended.set()

    def _wake(self) -> None:
        """On a thread of the stream; one call into the loop wakes for all that came till then."""
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._wake_tracks)
            except RuntimeError:  # the loop is closed: nobody is left to wake
                self.ended.set()

    def _wake_tracks(self) -> None:
        self._woken = False
        for track in self._tracks:
            track.waiting.set()

    def _want_key_frame(self) -> None:
        if self._packets is not None:
            self._packets.request_key_frame()

    def _bandwidth(self, bits_per_second: int) -> None:
        if self._packets is not None:
            self._packets.report_bandwidth(bits_per_second)


def _capabilities(kind: str, codec: str) -> list[Any]:
    """A codec as setCodecPreferences takes it, with the retransmission that goes with it."""
    known: list[Any] = RTCRtpSender.getCapabilities(kind).codecs
    named = [c for c in known if c.name.lower() == codec]
    # Constrained baseline before baseline: the former is what is sent.
    named.sort(key=lambda c: str(c.parameters.get("profile-level-id", "")), reverse=True)
    return named + [c for c in known if c.name.lower() == "rtx"]
