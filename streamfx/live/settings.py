"""What a live stream is told when it begins, and what can be changed while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from streamfx.engines.base import Precision
from streamfx.errors import InputError
from streamfx.live.encoders import level_for

LONGEST_FADE_MS = 10_000
LONGEST_AUDIO_DELAY_MS = 2000

Side = Annotated[int, Field(ge=32, le=4096, multiple_of=2)]
Size = tuple[Side, Side]
Bitrate = Annotated[int, Field(ge=50_000, le=50_000_000)]
Scale = Annotated[float, Field(gt=0, le=1)]


class LiveSettings(BaseModel):
    """How a live stream is made.

    Attributes:
        size: (width, height) that goes out; None = that of the first frame, within `max_size`.
        max_size: bounds (width, height) of the outgoing size where `size` is None.
        fps: frames a second at most; an H.264 level must hold the size at it.
        start_bitrate, min_bitrate, max_bitrate: of the full-size picture, bits a second.
        style, strength, enabled, fade_ms, audio_delay_ms: the control at the start; see `Control`.
        backend, precision, threads: see `streamfx.stylizer.Stylizer`.
        working_scales: what the sides that the engine works at may be divided down to when
            the machine is short, falling from 1.
        keep_warm: restyle even while nobody watches.
        audio: whether sound is sent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Size | None = None
    max_size: Size = (1280, 720)
    fps: float = Field(default=30.0, ge=1, le=120)
    start_bitrate: Bitrate = 2_500_000
    min_bitrate: Bitrate = 200_000
    max_bitrate: Bitrate = 6_000_000
    style: str = "great-wave"
    strength: float = Field(default=1.0, ge=0, le=1)
    enabled: bool = True
    fade_ms: int = Field(default=300, ge=0, le=LONGEST_FADE_MS)
    audio_delay_ms: int = Field(default=0, ge=-LONGEST_AUDIO_DELAY_MS, le=LONGEST_AUDIO_DELAY_MS)
    backend: str = "auto"
    precision: Precision = "auto"
    threads: int | None = Field(default=None, ge=1)
    working_scales: tuple[Scale, ...] = (1.0, 0.75, 0.5)
    keep_warm: bool = False
    audio: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.min_bitrate <= self.start_bitrate <= self.max_bitrate:
            raise ValueError("min_bitrate, start_bitrate and max_bitrate must rise in this order")
        scales = self.working_scales
        if not scales or scales[0] != 1 or list(scales) != sorted(set(scales), reverse=True):
            raise ValueError("working_scales must fall, and the first one is 1")
        try:
            level_for(*(self.size or self.max_size), self.fps)
        except InputError as error:
            raise ValueError(str(error)) from error
        return self


@dataclass(frozen=True)
class Control:
    """What is shown and heard now.

    Attributes:
        style: a style expression.
        strength: 0..1.
        enabled: False shows the picture as it came.
        fade_ms: how long a change takes, 0..10000.
        audio_delay_ms: how much later the sound comes than it was captured with the picture,
            -2000..2000; below 0 the picture comes later.
    """

    style: str
    strength: float
    enabled: bool
    fade_ms: int
    audio_delay_ms: int = 0

    @property
    def shown_strength(self) -> float:
        """The strength that the picture ends up with."""
        return self.strength if self.enabled else 0.0

    @property
    def sound_shift(self) -> float:
        """Seconds that the sound is to come later."""
        return max(self.audio_delay_ms, 0) / 1000

    @property
    def picture_shift(self) -> float:
        """Seconds that the picture is to come later."""
        return max(-self.audio_delay_ms, 0) / 1000


@dataclass(frozen=True)
class ControlChange:
    """The parts of a `Control` to change; None leaves one as it is."""

    style: str | None = None
    strength: float | None = None
    enabled: bool | None = None
    fade_ms: int | None = None
    audio_delay_ms: int | None = None

    def of(self, control: Control) -> Control:
        """The changed control; whether the style can be used is not checked here.

        Raises:
            InputError: the strength, the fade time or the delay is out of range.
        """
        strength = control.strength if self.strength is None else self.strength
        fade_ms = control.fade_ms if self.fade_ms is None else self.fade_ms
        if not (isfinite(strength) and 0 <= strength <= 1):
            raise InputError(f"the strength is a number from 0 to 1, not {strength}")
        if not 0 <= fade_ms <= LONGEST_FADE_MS:
            raise InputError(f"the fade takes from 0 to {LONGEST_FADE_MS} ms, not {fade_ms}")
        delay = control.audio_delay_ms if self.audio_delay_ms is None else self.audio_delay_ms
        most = LONGEST_AUDIO_DELAY_MS
        if not -most <= delay <= most:
            raise InputError(f"the sound is delayed by -{most} to {most} ms, not {delay}")
        return Control(
            style=control.style if self.style is None else self.style,
            strength=float(strength),
            enabled=control.enabled if self.enabled is None else self.enabled,
            fade_ms=int(fade_ms),
            audio_delay_ms=int(delay),
        )
