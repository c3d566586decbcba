"""Recordings beside a live stream, and HLS.

A recording has its name from the start and can be played at any moment, also after a kill: MP4
in fragments, Matroska, MPEG-TS or FLV. So it is no file of another name that becomes it.
"""

from __future__ import annotations

from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from streamfx.errors import StreamFXError
from streamfx.sinks.feed import KEY_EVERY, Item
from streamfx.sinks.muxing import FLV, MP4, MPEG_TS, Muxer, Size

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_FORMS = {
    ".mp4": ("mp4", MP4),
    ".mkv": ("matroska", {"cluster_time_limit": "1000"}),
    ".ts": ("mpegts", MPEG_TS),
    ".flv": ("flv", FLV),
}
_MOST_NAMES = 100_000
_SEGMENTS = 6  # in the playlist


class _Whole(FileIO):
    """A file that takes all that is written, or fails: FFmpeg does not look how much was taken."""

    def write(self, data: ReadableBuffer, /) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left:
            left = left[super().write(left) :]
        return size


def _replaced(name: str, _flags: int, _options: dict[str, str]) -> _Whole:
    """A file that is written anew."""
    return _Whole(name, "w")


class Recording:
    """A file, or one after the other.

    No file is written over: where there is one of the name, a number is added.

    Args:
        segment: seconds after which, at a key frame, the next file begins; None = one file.

    Raises:
        OSError, StreamFXError: it cannot be written, here or in any method.
    """

    def __init__(self, path: Path, segment: float | None) -> None:
        self._path = path
        self._segment = segment
        self._muxer: Muxer | None = None
        self._size: Size = (0, 0)
        self._fps = 0.0
        self._begun: dict[str, int] = {}  # pts at which this file begins
        self._ends = 0.0

    def begin(self, size: Size, fps: float) -> None:
        self._size, self._fps = size, fps

    def write(self, item: Item) -> None:
        if self._muxer is None or (self._segment and item.is_key and self._is_over(item)):
            if item.kind != "video":
                return
            self._next(item)
        assert self._muxer is not None
        pts = item.pts - self._begun[item.kind]
        if pts >= 0:
            self._muxer.write(Item(item.kind, item.data, pts, item.is_key))

    def close(self) -> None:
        if self._muxer is not None:
            self._muxer.close()

    def abandon(self) -> None:
        if self._muxer is not None:
            self._muxer.abandon()

    def _is_over(self, item: Item) -> bool:
        return item.kind == "video" and item.time >= self._ends

    def _next(self, item: Item) -> None:
        self.close()
        self._muxer = None
        form, options = _FORMS[self._path.suffix.lower()]
        file = _Whole(_free(self._path, numbered=self._segment is not None), "x")
        self._muxer = Muxer(file, form, self._size, self._fps, options)
        self._begun = {"video": item.pts, "audio": round(item.time * 48_000)}
        self._ends = item.time + (self._segment or 0)


def _free(path: Path, *, numbered: bool) -> Path:
    """A name that no file has: `path`, or with a number."""
    if not numbered and not path.exists():
        return path
    for number in range(1 if numbered else 2, _MOST_NAMES):
        name = path.with_name(
            f"{path.stem}-{number:04d}{path.suffix}"
            if numbered
            else f"{path.stem}-{number}{path.suffix}"
        )
        if not name.exists():
            return name
    raise StreamFXError(f"there are too many files like {path.name!r}")


class HlsOutput:
    """A playlist of the last seconds, and its segments beside it (RFC 8216)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._muxer: Muxer | None = None

    def begin(self, size: Size, fps: float) -> None:
        options = {
            "hls_time": f"{KEY_EVERY / 2:g}",  # it ends at the first key frame after that
            "hls_list_size": str(_SEGMENTS),
            # Each file appears whole; numbers go on where a sink begins anew.
            "hls_flags": "delete_segments+temp_file+independent_segments+program_date_time",
            "hls_start_number_source": "epoch",
            "hls_segment_filename": str(self._path.with_name(f"{self._path.stem}-%d.ts")),
        }
        # FFmpeg's own files would lose what a full disk does not take without a word.
        self._muxer = Muxer(str(self._path), "hls", size, fps, options, _replaced)

    def write(self, item: Item) -> None:
        assert self._muxer is not None
        self._muxer.write(item)

    def close(self) -> None:
        if self._muxer is not None:
            self._muxer.close()

    def abandon(self) -> None:
        if self._muxer is not None:
            self._muxer.abandon()
