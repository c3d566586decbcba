"""The encoders of live streams: H.264 and VP8 for the picture, Opus and AAC for the sound.

All give each packet at once: no look-ahead, no B frames, no frame threads.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import av
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray

from streamfx.errors import InputError
from streamfx.frames import Frame
from streamfx.live.rungs import Codec, Sound
from streamfx.media.planes import video_frame

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

Packet: TypeAlias = "av.Packet[Any]"
Size = tuple[int, int]

VIDEO_CLOCK = 90_000
AUDIO_RATE = 48_000
OPUS_SAMPLES = 960  # 20 ms
AAC_SAMPLES = 1024
_OPUS_BITRATE = 96_000
AAC_BITRATE = 128_000
_BUFFER_SECONDS = 0.5  # of bits: the largest burst, which bounds what a key frame may take
_NEVER = 1 << 30

# ITU-T H.264, table A-1: level_idc, macroblocks a second, macroblocks in a frame. WebRTC's
# own levels begin at 3.1 (RFC 7742 asks for 1.2 at least; browsers offer 3.1).
_LEVELS = (
    (31, 108_000, 3_600),
    (32, 216_000, 5_120),
    (40, 245_760, 8_192),
    (42, 522_240, 8_704),
    (50, 589_824, 22_080),
    (51, 983_040, 36_864),
    (52, 2_073_600, 36_864),
)


def level_for(width: int, height: int, fps: float) -> int:
    """The lowest H.264 level_idc, 31 (level 3.1) to 52, that holds such a picture.

    Raises:
        InputError: none does.
    """
    columns, rows = ceil(width / 16), ceil(height / 16)
    for level, rate, area in _LEVELS:
        # A.3.1 f, g: no side may be longer than the square root of 8 times the area.
        longest = max(columns, rows) ** 2 <= 8 * area
        if columns * rows <= area and columns * rows * fps <= rate and longest:
            return level
    raise InputError(f"no H.264 level holds {width}x{height} at {fps:g} frames a second")


def profile_level_id(level: int) -> str:
    """The SDP parameter of RFC 6184 for constrained baseline at a level_idc: 31 -> 42e01f."""
    return f"42e0{level:02x}"


class VideoEncoder:
    """One encoder of one size, rate and set of colour tags; one thread at a time uses it.

    Its first packet is a key frame; further ones come only when asked for.

    Args:
        size: (width, height), both even.
        bitrate: bits a second.
        fps: the highest frame rate, which the rate control counts with.
        like: a frame whose colour tags the stream carries (VP8 carries none).

    Raises:
        InputError: no H.264 level holds the size at this rate.
        av.error.FFmpegError: the encoder cannot be opened.
    """

    def __init__(self, codec: Codec, size: Size, bitrate: int, fps: float, like: Frame) -> None:
        self.size = size
        self.bitrate = bitrate
        self.color = like.color
        name, options = _x264(level_for(*size, fps)) if codec == "h264" else ("libvpx", _vpx())
        context = cast("VideoCodecContext", av.CodecContext.create(name, "w"))
        context.width, context.height = size
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, VIDEO_CLOCK)
        context.framerate = Fraction(fps).limit_denominator(1001)
        context.bit_rate = bitrate
        context.gop_size = _NEVER
        context.max_b_frames = 0
        context.thread_count = 1
        context.colorspace = like.color.matrix
        context.color_range = like.color.range
        context.color_primaries = like.color.primaries
        context.color_trc = like.color.transfer
        context.options = {
            **options,
            "maxrate": str(bitrate),
            "bufsize": str(int(bitrate * _BUFFER_SECONDS)),
        }
        context.open()
        self._context = context

    def encode(self, frame: Frame, pts: int, *, key: bool) -> Packet | None:
        """Encode a frame of the encoder's size.

        Args:
            pts: in 1/90000 s, larger than that of the frame before.
            key: whether it must become a key frame.

        Returns:
            The packet (Annex B for H.264), None where the encoder skipped the frame.

        Raises:
            av.error.FFmpegError: the encoder failed.
        """
        # encode() rebases times in place, so the picture is the encoder's own.
        stamped = replace(frame, pts=pts, time_base=Fraction(1, VIDEO_CLOCK), duration=0)
        picture = video_frame(stamped)
        if key:
            picture.pict_type = PictureType.I
        packets = self._context.encode(picture)
        return packets[0] if packets else None


class OpusEncoder:
    """48 kHz stereo to Opus packets of 20 ms (RFC 6716)."""

    samples = OPUS_SAMPLES

    def __init__(self) -> None:
        context = av.CodecContext.create("libopus", "w")
        context.sample_rate = AUDIO_RATE
        context.layout = "stereo"
        context.format = "s16"
        context.bit_rate = _OPUS_BITRATE
        context.time_base = Fraction(1, AUDIO_RATE)
        context.options = {
            "frame_duration": "20",
            "application": "audio",
            "fec": "1",
            "packet_loss": "5",
        }
        context.open()
        self._context = context

    def encode(self, samples: NDArray[np.int16], pts: int) -> list[Packet]:
        """Encode 960 samples, [960, 2]; `pts` in 1/48000 s is that of the first one.

        A packet's pts is 312 samples less: a decoder gives the sound that much later, and
        WebRTC's do not skip it.
        """
        sound = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples).reshape(1, -1), "s16", "stereo"
        )
        sound.sample_rate = AUDIO_RATE
        sound.pts, sound.time_base = pts, Fraction(1, AUDIO_RATE)
        return self._context.encode(sound)


class AacEncoder:
    """48 kHz stereo to AAC-LC packets of 1024 samples, which RTMP, MPEG-TS and HLS carry."""

    samples = AAC_SAMPLES

    def __init__(self) -> None:
        context = av.CodecContext.create("aac", "w")
        context.sample_rate = AUDIO_RATE
        context.layout = "stereo"
        context.format = "fltp"
        context.bit_rate = AAC_BITRATE
        context.time_base = Fraction(1, AUDIO_RATE)
        context.open()
        self._context = context

    def encode(self, samples: NDArray[np.int16], pts: int) -> list[Packet]:
        """Encode 1024 samples, [1024, 2]; `pts` in 1/48000 s is that of the first one.

        A packet's pts is 1024 samples less, for as much later its sound is decoded.
        """
        planar = np.ascontiguousarray(samples.T, np.float32) / 32768
        sound = av.AudioFrame.from_ndarray(planar, "fltp", "stereo")
        sound.sample_rate = AUDIO_RATE
        sound.pts, sound.time_base = pts, Fraction(1, AUDIO_RATE)
        return self._context.encode(sound)


SOUND_ENCODERS: dict[Sound, type[OpusEncoder] | type[AacEncoder]] = {
    "opus": OpusEncoder,
    "aac": AacEncoder,
}


def _x264(level: int) -> tuple[str, dict[str, str]]:
    return "libx264", {
        "preset": "superfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "level": f"{level // 10}.{level % 10}",
        "forced-idr": "1",
        # One packet holds one slice of all rows; a cut costs no unasked-for key frame.
        "x264-params": "sliced-threads=0:scenecut=0:repeat-headers=1:keyint=infinite",
    }


def _vpx() -> dict[str, str]:
    return {
        "deadline": "realtime",
        "cpu-used": "-8",
        "lag-in-frames": "0",
        "auto-alt-ref": "0",
        "static-thresh": "1",
        "undershoot-pct": "95",
    }
