"""Opening a file that nobody has checked yet, with every way to fail said in words."""

from __future__ import annotations

from pathlib import Path

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from streamfx.errors import InputError

# Not videos, though FFmpeg would open them: text as pictures, and lists of other files.
_REFUSED = frozenset({"tty", "concat", "hls", "dash", "image2", "ffmetadata"})


def open_video(path: Path, hwaccel: HWAccel | None = None) -> InputContainer:
    """Open a file that holds a video.

    Args:
        hwaccel: what decodes in place of the CPU.

    Raises:
        InputError: it is missing, empty, a folder, unreadable or no video.
    """
    name = repr(str(path))
    if path.is_dir():
        raise InputError(f"{name} is a folder, not a video")
    if not path.exists():
        raise InputError(f"there is no file {name}")
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{name} is empty")
        # `file:` keeps a colon in a name from being read as a protocol; a file that names
        # other places must not make this program open them.
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"}, hwaccel=hwaccel)
    except PermissionError as error:
        raise InputError(f"{name} cannot be read: permission denied") from error
    except RuntimeError as error:  # PyAV's, where nothing in the file is for `hwaccel`
        raise InputError(f"the device decodes nothing of {name}") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"{name} is not a video that can be read: damaged, cut off or of an unknown kind"
        ) from error
    if set(container.format.name.split(",")) & _REFUSED:
        kind = container.format.name
        container.close()
        raise InputError(f"{name} is not a video but of the kind {kind!r}")
    return container


def picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The video stream to restyle: the default one, else the first; never a cover picture.

    Raises:
        InputError: the file holds no video, or one that no decoder here can read.
    """
    found = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not found:
        what = "only sound" if container.streams.audio else "no picture"
        raise InputError(f"{str(path)!r} holds {what}: there is nothing to restyle")
    stream = next((s for s in found if s.disposition & Disposition.default), found[0])
    if stream.codec_context is None:
        raise InputError(f"no decoder here can read the video of {str(path)!r}")
    return stream
