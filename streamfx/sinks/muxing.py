"""Items into a container: a file, or bytes that go on from here.

Muxing into the network is left to this program's own sockets: PyAV opens connections and
writes headers with Python's lock held, and a server that is slow would hold up every stream.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Protocol

import av
import av.error
from av.container import OutputContainer

from streamfx.live.encoders import AAC_BITRATE, AAC_SAMPLES, AUDIO_RATE, VIDEO_CLOCK
from streamfx.sinks.feed import Item

Size = tuple[int, int]

# Every packet goes out at once, and pictures wait half a second for sound at most.
_AT_ONCE = {"flush_packets": "1", "max_interleave_delta": "500000"}
FLV = {"flvflags": "no_duration_filesize"}
MPEG_TS = {"pat_period": "0.5"}
MP4 = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "1000000"}


class File(Protocol):
    """What a container is written to."""

    @property
    def closed(self) -> bool: ...
    def write(self, data: bytes, /) -> int | None: ...
    def close(self) -> None: ...


class Bytes:
    """A file whose bytes go to a function."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.name = "stream"
        self.closed = False
        self._take = take

    def write(self, data: bytes, /) -> int:
        self._take(data)
        return len(data)

    def close(self) -> None:
        self.closed = True


class Muxer:
    """One container with H.264 and AAC.

    Args:
        target: a path, or a file that is the muxer's own from now on.
        form: FFmpeg's name of the format.
        size: (width, height) of the pictures.
        open_file: opens, for writing, the files that a format writes beside `target`, and
            `target` itself where it is a path: (path, FFmpeg's flags and options).

    Raises:
        av.error.FFmpegError, OSError: it cannot be written, here or in any method.
    """

    def __init__(
        self,
        target: str | File,
        form: str,
        size: Size,
        fps: float,
        options: Mapping[str, str],
        open_file: Callable[[str, int, dict[str, str]], File] | None = None,
    ) -> None:
        self._file = None if isinstance(target, str) else target
        output: OutputContainer = av.open(
            target,
            "w",
            format=form,
            options={**_AT_ONCE, **options},
            io_open=open_file,
        )
        self._output = output
        rate = Fraction(fps).limit_denominator(1001)
        video: Any = output.add_mux_stream("h264", rate=rate, width=size[0], height=size[1])
        video.time_base = Fraction(1, VIDEO_CLOCK)
        # Its encoder is only opened for what it writes into the container's header.
        audio = output.add_stream("aac", rate=AUDIO_RATE)
        audio.codec_context.bit_rate = AAC_BITRATE
        self._streams = {"video": video, "audio": audio}

    def write(self, item: Item) -> None:
        """Write a packet."""
        packet: Any = av.Packet(item.data)
        packet.stream = self._streams[item.kind]
        packet.pts = packet.dts = item.pts
        is_picture = item.kind == "video"
        packet.time_base = Fraction(1, VIDEO_CLOCK if is_picture else AUDIO_RATE)
        packet.is_keyframe = item.is_key
        if not is_picture:
            packet.duration = AAC_SAMPLES
        self._output.mux_one(packet)

    def close(self) -> None:
        """Finish the container."""
        self._output.close()
        if self._file is not None:
            self._file.close()

    def abandon(self) -> None:
        """Let go of it unfinished."""
        if self._file is not None:
            self._file.close()  # then FFmpeg writes no more
        with contextlib.suppress(av.error.FFmpegError, OSError):
            self._output.close()
