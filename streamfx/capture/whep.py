"""WHEP pull: somebody else's stream over WebRTC as a source."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from threading import Event, Thread

import av
import numpy as np

from streamfx.capture.state import Attendance, Destination, SourceStatus
from streamfx.endpoints import Endpoint
from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Frame
from streamfx.live.restyle import retry_after
from streamfx.live.sources import ThreadedSource
from streamfx.media.planes import NATIVE, Orientation, color_of, planes_of
from streamfx.rtc_client import Session, capabilities
from streamfx.server.aiortc_internals import Decoded, ReceiverTap
from streamfx.server.rtp_clock import SourceClock

_LOOK_EVERY = 0.25  # seconds
_SILENCE = 5.0  # seconds without a packet after which the connection is given up
_RATES = {"video": 90_000, "audio": 48_000}

log = logging.getLogger(__name__)


class WhepSource(ThreadedSource):
    """Plays what a WHEP endpoint sends, and connects again when it ends.

    Args:
        say: takes one sentence about every change.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        destination: Destination,
        *,
        say: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(f"{destination.name}-whep")
        self._endpoint = endpoint
        self._tell = say or (lambda text: log.info("%s", text))
        self._attendance = Attendance(destination, self._say)
        self._refused = False

    @property
    def status(self) -> SourceStatus:
        """How it is doing."""
        return self._attendance.status

    def _run(self) -> None:
        over = Event()

        def watch() -> None:
            while not over.wait(_LOOK_EVERY):
                self._attendance.look()

        watching = Thread(target=watch, name=f"{self._thread.name}-watch", daemon=True)
        watching.start()
        try:
            asyncio.run(self._pull())
        finally:
            over.set()
            watching.join()
            self._attendance.ended()

    async def _pull(self) -> None:
        failures = 0
        while not self._stop.is_set():
            before = self.status.pictures
            try:
                await self._connection()
            except TimeoutError:
                self._attendance.lost("it does not answer")
            except (OSError, StreamFXError) as error:
                self._attendance.lost(str(error))
            except Exception as error:  # a thread must not end in silence
                log.exception("%s failed", self._endpoint.shown)
                self._attendance.lost(type(error).__name__)
            failures = 1 if self.status.pictures > before else failures + 1
            end = time.monotonic() + retry_after(failures)
            while not self._stop.is_set() and time.monotonic() < end:
                await asyncio.sleep(_LOOK_EVERY)

    async def _connection(self) -> None:
        session = Session(self._endpoint)
        clock = SourceClock(_RATES)
        taps: list[ReceiverTap] = []

        def tap() -> None:
            """When the codecs are settled, and before anything is received."""
            for receiver in session.connection.getReceivers():
                take = self._picture if receiver.track.kind == "video" else self._sound
                taps.append(ReceiverTap(receiver, clock, take))

        try:
            connection = session.connection
            for kind, codecs in (("video", ("h264", "vp8")), ("audio", ("opus",))):
                transceiver = connection.addTransceiver(kind, direction="recvonly")
                transceiver.setCodecPreferences(capabilities(kind, codecs))
            first = True

            def on_track(_track: object) -> None:
                nonlocal first
                if first:
                    first = False
                    tap()

            connection.on("track", on_track)
            await session.open()
            self._attendance.connected()
            begun = time.monotonic()
            while not self._stop.is_set():
                heard = max((t.heard for t in taps if t.heard is not None), default=begun)
                if session.ended.is_set() or time.monotonic() - heard > _SILENCE:
                    raise StreamFXError("the connection ended")
                await asyncio.sleep(_LOOK_EVERY)
        finally:
            await session.close()

    def _picture(self, picture: Decoded, captured: float) -> None:
        """On the decoder thread."""
        if not isinstance(picture, av.VideoFrame):
            return
        if picture.format.name not in NATIVE:
            picture = picture.reformat(format="yuv420p")
        frame = Frame(*planes_of(picture, Orientation()), color=color_of(picture))
        try:
            self._attendance.push(frame, captured)
        except InputError as error:  # of a size that no stream takes
            if not self._refused:
                log.warning("pictures of %s are refused: %s", self._endpoint.shown, error)
            self._refused = True

    def _sound(self, sound: Decoded, captured: float) -> None:
        """On the decoder thread; aiortc decodes Opus to 48 kHz stereo int16."""
        if isinstance(sound, av.AudioFrame):
            samples = sound.to_ndarray().reshape(-1, 2).astype(np.int16, copy=False)
            self._attendance.push_audio(samples, captured)

    def _say(self, text: str) -> None:
        self._tell(f"{self._endpoint.shown}: {text}")
