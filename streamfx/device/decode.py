"""NVDEC through PyAV: decoded pictures that stay on the GPU, as frames.

FFmpeg copies a picture out of the decoder's few surfaces into a pool that grows (unless it is
asked for `unsafe_output`), so holding some of them does not starve the decoder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from av.codec.hwaccel import HWAccel

from streamfx.device.dlpack import Borrowed
from streamfx.device.frames import DeviceFrame, Hold
from streamfx.engines.cuda import Cuda, DeviceArray
from streamfx.errors import InputError, StreamFXError
from streamfx.media.planes import HDR, color_of

_BYTE = np.dtype(np.uint8)


def hardware() -> HWAccel:
    """NVDEC, in the CUDA context that the engines use, with pictures left on the GPU."""
    return HWAccel("cuda", device=0, allow_software_fallback=False, is_hw_owned=True)


class DeviceReader:
    """The pictures of a video file on the GPU, in order; iterate it once.

    Args:
        path: the file.

    Attributes:
        rate: frames a second, a guess where timing varies.
        time_base: seconds per unit of every frame's `pts`.

    Raises:
        InputError: the file cannot be read, or has no video that this GPU decodes.
    """

    def __init__(self, path: str | os.PathLike[str], cuda: Cuda) -> None:
        self._cuda = cuda
        self._path = os.fspath(path)
        try:
            self._container = av.open(self._path, hwaccel=hardware())
            self._stream = self._container.streams.video[0]
        except IndexError as error:
            raise InputError(f"{self._path} has no video") from error
        except (av.error.FFmpegError, RuntimeError) as error:
            raise InputError(f"{self._path} cannot be decoded on the GPU: {error}") from error
        self.rate: Fraction = self._stream.average_rate or Fraction(25)
        self.time_base = self._stream.time_base or Fraction(1, 90_000)

    def __iter__(self) -> Iterator[DeviceFrame]:
        try:
            for picture in self._container.decode(self._stream):
                yield frame_of(picture, self._cuda)
        except av.error.FFmpegError as error:
            raise InputError(f"{self._path} cannot be decoded on the GPU: {error}") from error

    def close(self) -> None:
        """End reading."""
        self._container.close()


def frame_of(picture: Any, cuda: Cuda) -> DeviceFrame:
    """A decoded picture as a frame that borrows its planes; nothing is copied.

    Args:
        picture: an `av.VideoFrame` in the memory of `cuda`'s device.

    Raises:
        StreamFXError: it is not 8-bit NV12, needs a filter first, or lies elsewhere.
    """
    layout = (picture.sw_format or picture.format).name
    if layout != "nv12":
        raise StreamFXError(
            f"the GPU decodes this video to {layout}, and frames stay there as nv12 alone; "
            "decode it on the CPU"
        )
    if picture.interlaced_frame or picture.rotation or picture.color_trc in HDR:
        raise StreamFXError(
            "interlaced, turned and HDR video needs filters that work on the CPU; decode it there"
        )
    # The decoder works on the legacy stream, without waiting.
    ready = cuda.record()
    planes = [Borrowed(plane) for plane in picture.planes]
    for plane in planes:
        if plane.device != cuda.device:
            raise StreamFXError(
                f"a decoded picture lies on device {plane.device}, not {cuda.device}"
            )
    luma, chroma = planes

    def let_go() -> None:
        luma.release()
        chroma.release()

    def array(plane: Borrowed, shape: tuple[int, ...], row: int) -> DeviceArray:
        pitch = plane.strides[0]
        return DeviceArray(plane.address, shape, _BYTE, row, pitch, ready, owner=plane)

    height, width = luma.shape
    half_height, half_width, _ = chroma.shape
    return DeviceFrame(
        y=array(luma, (1, 1, height, width), width),
        uv=array(chroma, (1, half_height, half_width, 2), 2 * half_width),
        hold=Hold(let_go),
        pts=picture.pts or 0,
        time_base=picture.time_base or Fraction(1, 90_000),
        duration=picture.duration or 0,
        color=color_of(picture),
    )
