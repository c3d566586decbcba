"""One frame at a time to what goes out: fitted, restyled at the working size, letterboxed."""

from __future__ import annotations

import logging
import time

from streamfx.frames import Frame
from streamfx.live.fade import Fade, Look
from streamfx.live.ladder import Ladder
from streamfx.live.picture import Size, fitted_size, letterboxed, resized, scaled_size
from streamfx.live.settings import LiveSettings
from streamfx.live.stats import Tally
from streamfx.styles import Pack
from streamfx.stylizer import Load, Stylizer

_LONGEST_WAIT = 30.0

log = logging.getLogger(__name__)


def retry_after(failures: int) -> float:
    """Seconds until an engine that failed so many times in a row is tried again: 1, 2, 4 … 30."""
    return float(min(2 ** min(failures - 1, 10), _LONGEST_WAIT))


class Restyler:
    """Restyles the frames of one stream; one thread uses it.

    An engine that fails is no end: the frame passes unstyled and is counted as dropped by
    "engine", and a new engine is tried after a while. Engines come from `load`, see `Stylizer`.
    """

    def __init__(
        self,
        name: str,
        pack: Pack,
        settings: LiveSettings,
        look: Look,
        tally: Tally,
        load: Load | None = None,
    ) -> None:
        self._name = name
        self._load = load
        self._pack = pack
        self._settings = settings
        self._fade = Fade(look)
        self._ladder = Ladder(settings.working_scales)
        self._tally = tally
        self._stylizer: Stylizer | None = None
        self._failures = 0
        self._retry_at = float("-inf")

    @property
    def scale(self) -> float:
        """The working scale of the next frame."""
        return self._ladder.scale

    def aim(self, look: Look, seconds: float) -> None:
        """Fade from what is shown to `look`."""
        self._fade.aim(look, seconds)

    def prepare(self, frame: Frame, size: Size) -> None:
        """Compile the engines for frames like this one at every working size, ahead of need:
        compiling holds the picture up."""
        fitted = fitted_size(frame.width, frame.height, size)
        try:
            stylizer = self._stylizer = self._stylizer or self._make()
            for scale in self._settings.working_scales:
                width, height = scaled_size(fitted, scale)
                stylizer.prepare(height, width)
        except Exception as error:  # whatever a device raises, the stream goes on
            self._fail(error)

    def __call__(self, frame: Frame, size: Size, interval: float) -> Frame:
        """What is shown of `frame`: a picture of `size`, with its time and colour tags.

        Args:
            frame: of any size; its time is that of the stream's clock.
            size: (width, height).
            interval: seconds between frames, which the work should not exceed.
        """
        look = self._fade.at(frame.time)
        fitted = fitted_size(frame.width, frame.height, size)
        painted = None
        if look.strength > 0:
            painted = self._paint(frame, fitted, look, interval)
            if painted is None:
                self._tally.drop("engine")
        elif self._stylizer is not None:
            self._stylizer.reset()
        return letterboxed(resized(painted or frame, fitted), size)

    def close(self) -> None:
        """Free the engines."""
        if self._stylizer is not None:
            self._stylizer.close()
            self._stylizer = None

    def _paint(self, frame: Frame, fitted: Size, look: Look, interval: float) -> Frame | None:
        """The frame restyled, as large as `fitted`; None where no engine can be had."""
        if time.monotonic() < self._retry_at:
            return None
        width, height = scaled_size(fitted, self.scale)
        try:
            stylizer = self._stylizer = self._stylizer or self._make()
            stylizer.prepare(height, width)  # compiling is not this frame's work
            stylizer.code, stylizer.strength = look.code, look.strength
            begun = time.monotonic()
            painted = resized(stylizer(resized(frame, (width, height))), fitted)
        except Exception as error:  # as above
            self._fail(error)
            return None
        now = time.monotonic()
        self._ladder.observe(now, now - begun, interval)
        self._tally.count("frames_restyled")
        if self._failures:
            log.info("%s: the engine works again", self._name)
            self._failures = 0
        return painted

    def _make(self) -> Stylizer:
        settings = self._settings
        return Stylizer(
            self._pack.styles[0].name,  # its code is set before the first frame
            pack=self._pack,
            backend=settings.backend,
            precision=settings.precision,
            threads=settings.threads,
            load=self._load,
        )

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        self._retry_at = time.monotonic() + retry_after(self._failures)
        if self._failures == 1:
            log.error("%s: frames pass unstyled, for the engine failed: %s", self._name, error)
        self.close()
