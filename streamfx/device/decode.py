"""NVDEC through PyAV: decoded pictures that stay on the GPU, as frames.

FFmpeg copies a picture out of the decoder's few surfaces into a pool that grows (unless it is
asked for `unsafe_output`), so holding some of them does not starve the decoder.
"""

from __future__ import annotations

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
from streamfx.errors import StreamFXError
from streamfx.media.planes import HDR, Orientation, Size, color_of

_BYTE = np.dtype(np.uint8)


def hardware() -> HWAccel:
    """NVDEC, in the CUDA context that the engines use, with pictures left on the GPU."""
    return HWAccel("cuda", device=0, allow_software_fallback=False, is_hw_owned=True)


class OnTheGPU:
    """`streamfx.media.decoding.Decoding` by NVDEC: frames that borrow what it decoded into.

    What needs one of the CPU's filters, and what NVDEC cannot decode, is an error: the CPU can
    begin anew, and knows what is damaged.
    """

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.hwaccel: HWAccel | None = hardware()

    def filter(self, size: Size) -> Unfiltered:
        return Unfiltered(size)

    def frame(
        self, picture: Any, orientation: Orientation, pts: int, time_base: Fraction
    ) -> DeviceFrame:
        frame = frame_of(picture, self._cuda)
        frame.pts, frame.time_base = pts, time_base
        return frame

    def failed(self, error: av.error.FFmpegError) -> None:
        raise StreamFXError(f"a packet cannot be decoded on the GPU: {error}") from error


class Unfiltered:
    """`streamfx.media.decoding.Filter` that passes pictures of one size as they are.

    Args:
        size: (width, height).
    """

    deinterlaced = False

    def __init__(self, size: Size) -> None:
        self._size = size

    def push(self, frame: av.VideoFrame, time_base: Fraction) -> Iterator[av.VideoFrame]:
        if (frame.width, frame.height) != self._size:
            raise StreamFXError("pictures on the GPU cannot be scaled; scale them on the CPU")
        yield frame

    def flush(self) -> Iterator[av.VideoFrame]:
        yield from ()


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
