"""A live stream on a virtual camera, which never stands idle."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streamfx.camera.output import CameraOutput, open_camera
from streamfx.camera.picture import card, fitted
from streamfx.camera.ticks import Ticks
from streamfx.endpoints import Endpoint
from streamfx.errors import StreamFXError
from streamfx.frames import Frame
from streamfx.live.picture import Size
from streamfx.live.restyle import retry_after
from streamfx.live.sources import ThreadedSource
from streamfx.live.stream import LiveStream
from streamfx.sinks.base import reason_of
from streamfx.sinks.status import Board, SinkStatus

DEFAULT_SIZE: Size = (1280, 720)
_CARD = "StreamFX: waiting for the picture"

log = logging.getLogger(__name__)

Opener = Callable[[str, Size, float, Frame], CameraOutput]


class CameraSink(ThreadedSource):
    """Shows a stream's pictures on a virtual camera, at a steady rate of its own.

    Programs that read a camera take a pause for its end. So it shows the last picture as long
    as no new one comes, and a card before the first one. Its size stays what it was at the
    start: pictures of another shape are letterboxed.

    Args:
        endpoint: `camera:[DEVICE]` with the options size, fps and mirror.
        say: takes one sentence about every change.
        opener: opens the device.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        stream: LiveStream,
        *,
        say: Callable[[str], None] | None = None,
        opener: Opener = open_camera,
    ) -> None:
        super().__init__(f"{stream.name}-camera")
        self._device = endpoint.target
        self._stream = stream
        self._size = endpoint.size or stream.settings.size or DEFAULT_SIZE
        self._fps = endpoint.fps or stream.settings.fps
        self._mirror = "mirror" in endpoint.options
        self._board = Board(endpoint.shown, say or (lambda text: log.info("%s", text)))
        self._opener = opener
        self._latest: Frame | None = None  # replaced as a whole by the stream's thread

    @property
    def status(self) -> SinkStatus:
        """How it is doing; `dropped` counts pictures that came faster than the camera's rate."""
        return self._board.status

    def _run(self) -> None:
        end_tap = self._stream.tap(self._take)
        failures = 0
        try:
            while not self._stop.is_set():
                before = self.status.pictures
                error = self._show()
                if error is None:
                    break
                self._board.failed(error)
                failures = 1 if self.status.pictures > before else failures + 1
                self._stop.wait(retry_after(failures))
        finally:
            end_tap()
            self._board.enter("closed")

    def _take(self, frame: Frame) -> None:
        """On the stream's thread."""
        self._latest = frame

    def _show(self) -> str | None:
        """Show pictures until the sink stops; what went wrong, if anything did."""
        self._board.enter("connecting")
        output: CameraOutput | None = None
        try:
            shown = card(self._size, _CARD)
            output = self._opener(self._device, self._size, self._fps, self._latest or shown)
            self._board.began()
            ticks, last = Ticks(self._fps, time.monotonic()), None
            while not self._stop.is_set():
                frame = self._latest
                if frame is None or frame is last:
                    output.write(shown)
                else:
                    shown, last = fitted(frame, self._size, mirror=self._mirror), frame
                    output.write(shown)
                    self._board.was_late(time.monotonic() - frame.time)
                self._board.sent(shown.y.nbytes * 3 // 2, picture=True)
                self._stop.wait(ticks.wait(time.monotonic()))
        except (StreamFXError, OSError) as error:
            return reason_of(error)
        except Exception as error:  # a thread must not end in silence
            log.exception("%s failed", self.status.shown)
            return type(error).__name__
        finally:
            if output is not None:
                output.close()
        return None
