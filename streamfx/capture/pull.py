"""Sources that FFmpeg opens: devices, screens and pulls, opened again when they break off."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import av
import av.error
from av.container import InputContainer

from streamfx.capture.clock import LiveClock
from streamfx.capture.state import Attendance, Destination, SourceStatus
from streamfx.errors import InputError, StreamFXError
from streamfx.live.files import OPEN_TIMEOUT, READ_TIMEOUT, FileClock, Player
from streamfx.live.restyle import retry_after
from streamfx.live.sources import ThreadedSource
from streamfx.rtmp.pipe import Pipe

_LOOK_EVERY = 0.25  # seconds
_FAILURES = (av.error.FFmpegError, OSError, ValueError, StreamFXError)

log = logging.getLogger(__name__)

Opener = Callable[[], InputContainer | None]


class LiveSource(ThreadedSource):
    """Opens a live source again and again, and plays what comes into a stream.

    While it is away the stream shows its notice. Stopping takes as long as an opening or a
    read that is under way, 10 s at most.

    Args:
        shown: what messages call it.
        open_input: gives an opened container, or None where there is nothing yet; it raises
            where it cannot be opened, and returns within 10 s.
        close_input: lets go of what an opening holds; called after each.
        on_end: called once from the source's thread, with None, when a recording that was
            named by a URL has been played to its end. None: what comes is live, whatever it
            says of its length, as a publisher's does.
        say: takes one sentence about every change.
    """

    def __init__(
        self,
        destination: Destination,
        shown: str,
        open_input: Opener,
        *,
        close_input: Callable[[], None] = lambda: None,
        on_end: Callable[[Exception | None], None] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(f"{destination.name}-source")
        self._shown = shown
        self._open = open_input
        self._close = close_input
        self._on_end = on_end
        self._tell = say or (lambda text: log.info("%s", text))
        self._attendance = Attendance(destination, self._say)
        self._over = Event()
        self._played = False

    @property
    def status(self) -> SourceStatus:
        """How it is doing."""
        return self._attendance.status

    def _run(self) -> None:
        watch = Thread(target=self._watch, name=f"{self._thread.name}-watch", daemon=True)
        watch.start()
        failures = 0
        while not self._stop.is_set():
            before = self.status.pictures
            error = self._play_once()
            if self._stop.is_set() or self._played:
                break
            if error is None:
                continue
            self._attendance.lost(error)
            failures = 1 if self.status.pictures > before else failures + 1
            self._stop.wait(retry_after(failures))
        self._attendance.ended()
        self._over.set()
        watch.join()
        if self._played and self._on_end is not None:
            self._on_end(None)

    def _play_once(self) -> str | None:
        """Play until it breaks off; what happened, None where there was nothing to play."""
        try:
            container = self._open()
            if container is None:
                return None
            self._attendance.connected()
            with container:
                # What says how long it is, is no live stream and has a speed of its own.
                is_recording = bool(container.duration) and self._on_end is not None
                clock = FileClock() if is_recording else LiveClock()
                Player(self._attendance, container, clock, self._stop, repr(self._shown)).play()
                self._played = is_recording
        except _FAILURES as error:
            return self._reason(error)
        except Exception as error:  # a thread must not end in silence
            log.exception("%s failed", self._shown)
            return f"{self._shown}: {type(error).__name__}"
        finally:
            self._close()
        return f"{self._shown} ended"

    def _reason(self, error: Exception) -> str:
        if isinstance(error, StreamFXError):
            return str(error)
        # FFmpeg's own text names the URL, and with it a key.
        return (
            f"{self._shown} broke off: {getattr(error, 'strerror', None) or type(error).__name__}"
        )

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            self._attendance.look()

    def _say(self, text: str) -> None:
        self._tell(text if text.startswith(self._shown) else f"{self._shown}: {text}")


def open_input(
    shown: str, target: str | Pipe, form: str | None, options: dict[str, str]
) -> InputContainer:
    """Open something with FFmpeg, with a time limit.

    Args:
        shown: what messages call it.
        target: a URL, a name, or a file object.

    Raises:
        InputError: it cannot be opened.
    """
    try:
        file: Any = target
        container: InputContainer = av.open(
            file, format=form, options=options, timeout=(OPEN_TIMEOUT, READ_TIMEOUT)
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(f"{shown} cannot be opened: {reason}") from error
    return container
