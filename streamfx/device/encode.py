"""NVENC through PyAV: frames on the GPU go in by DLPack, packets come out."""

from __future__ import annotations

from typing import Any

import av
import av.error
from av.video.frame import CudaContext

from streamfx.device.dlpack import CUDA
from streamfx.device.frames import DeviceFrame, Surface
from streamfx.engines.cuda import Cuda
from streamfx.errors import StreamFXError
from streamfx.media.planes import stamp

# What NVENC's wrapper calls each encoder, by the name that FFmpeg has for the codec.
ENCODERS = {"h264": "h264_nvenc", "hevc": "hevc_nvenc", "av1": "av1_nvenc"}


class DeviceEncoder:
    """Gives an encoder frames by reference.

    Args:
        context: a PyAV codec context or output stream, not open yet; its rate and options are
            set. The first frame opens it and brings its size, time base, colour tags and the
            GPU's context.
        cuda: whose memory the frames are in.
    """

    def __init__(self, context: Any, cuda: Cuda) -> None:
        self._context = context
        self._on_gpu = cuda.device[0] == CUDA
        self._cuda_context = CudaContext(cuda.device[1]) if self._on_gpu else None
        # NVENC keeps their addresses registered until it is closed: they must not be freed.
        self._registered: dict[int, Surface] = {}

    def encode(self, frame: DeviceFrame) -> list[av.Packet[Any]]:
        """The packets that are ready. The encoder holds the frame's memory while it reads it; the
        caller closes the frame as soon as this is back.

        Raises:
            StreamFXError: the frame lies outside a pool's surfaces, or the encoder fails.
        """
        if frame.surface is None:
            raise StreamFXError("an encoder takes frames out of a pool, not a decoder's")
        if not self._registered:
            self._set_up(frame)
        self._registered[frame.surface.y.address] = frame.surface
        picture = av.VideoFrame.from_dlpack(
            frame.surface.lend(), format="nv12", cuda_context=self._cuda_context
        )
        stamp(picture, frame)
        return self._encode(picture)

    def flush(self) -> list[av.Packet[Any]]:
        """The packets that the encoder still owes."""
        return self._encode(None)

    def close(self) -> None:
        """Forget the surfaces; the encoder itself must have been closed before."""
        self._registered.clear()

    def _set_up(self, frame: DeviceFrame) -> None:
        context = getattr(self._context, "codec_context", self._context)
        context.width, context.height = frame.width, frame.height
        context.pix_fmt = "cuda" if self._on_gpu else "nv12"
        context.time_base = frame.time_base
        context.colorspace = frame.color.matrix
        context.color_range = frame.color.range
        context.color_primaries = frame.color.primaries
        context.color_trc = frame.color.transfer

    def _encode(self, picture: av.VideoFrame | None) -> list[av.Packet[Any]]:
        try:
            return list(self._context.encode(picture))
        except av.error.FFmpegError as error:
            raise StreamFXError(f"the encoder on the GPU failed: {error}") from error
