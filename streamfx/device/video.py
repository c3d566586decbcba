"""The stages of a video file whose frames stay on the GPU: NVDEC, the engine, NVENC."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from importlib import import_module
from typing import cast

from av.container import OutputContainer
from av.video.stream import VideoStream

from streamfx import engines
from streamfx.device.decide import Choice, decide, probe
from streamfx.device.decode import OnTheGPU
from streamfx.device.encode import ENCODERS, DeviceEncoder
from streamfx.device.frames import DeviceFrame
from streamfx.device.stylize import DeviceEngine, DeviceStylizer, device_engine
from streamfx.engines.base import Unavailable
from streamfx.engines.cuda import MODULE, Cuda
from streamfx.engines.errors import EngineError
from streamfx.media.containers import Encoding
from streamfx.media.info import VideoInfo
from streamfx.media.reader import Packet
from streamfx.media.sizes import Shape
from streamfx.pipeline import Stages
from streamfx.stylizer import Stylizer

# The scale of NVENC's constant quality ends here.
_WORST_QUALITY = 51
# Frames from one key frame to the next at most, as x264 has it.
_KEY_FRAMES = 250

log = logging.getLogger(__name__)


class GPUEncoder:
    """`streamfx.media.writer.Encoder` by NVENC; it closes the frames that it is given.

    Args:
        encoders: FFmpeg's names, by the codec.
    """

    opened_by_frame = True

    def __init__(self, cuda: Cuda, encoders: Mapping[str, str] = ENCODERS) -> None:
        self._cuda = cuda
        self._encoders = encoders
        self._encoder: DeviceEncoder | None = None

    def add_to(self, output: OutputContainer, encoding: Encoding, rate: Fraction) -> VideoStream:
        assert encoding.codec is not None
        assert encoding.crf is not None
        options = {
            "rc": "vbr",
            "b": "0",
            "cq": str(min(encoding.crf, _WORST_QUALITY)),
            "g": str(_KEY_FRAMES),
        }
        stream = output.add_stream(self._encoders[encoding.codec], rate=rate, options=options)
        self._encoder = DeviceEncoder(stream, self._cuda)
        return cast(VideoStream, stream)

    def encode(self, frame: DeviceFrame) -> list[Packet]:
        assert self._encoder is not None
        try:
            return self._encoder.encode(frame)
        finally:
            frame.close()

    def flush(self) -> list[Packet]:
        assert self._encoder is not None
        return self._encoder.flush()

    def close(self) -> None:
        """Forget the surfaces, when the file is closed."""
        if self._encoder is not None:
            self._encoder.close()


def stages(
    stylizer: DeviceStylizer, decoding: OnTheGPU, encoder: GPUEncoder
) -> Stages[DeviceFrame]:
    """The stages of one file; closing them closes `stylizer` and `encoder`."""

    def restyle(frame: DeviceFrame) -> DeviceFrame:
        try:
            return stylizer(frame)
        finally:
            frame.close()

    def close() -> None:
        stylizer.close()
        encoder.close()

    return Stages(decoding, restyle, encoder, close)


def find_stages(
    look: Stylizer, video: VideoInfo, shape: Shape, wanted: Encoding, encoding: Encoding
) -> Stages[DeviceFrame] | None:
    """The stages of a file whose frames can stay on the GPU; None where they cannot.

    The log says what was decided, and why.

    Args:
        look: as of `DeviceStylizer`.
        video: what goes in.
        shape: what goes out.
        wanted, encoding: as the user has it, and settled.

    Raises:
        EngineError: the engine cannot be loaded.
    """
    try:
        choices = _choices(look, video, shape, wanted, encoding)
    except EngineError as error:  # who restyles on the CPU will say it
        log.info("frames stay on the CPU: %s", error)
        return None
    for choice in choices:
        log.info("%s", choice)
    if any(choice.place == "CPU" for choice in choices):
        return None
    backend = engines.choose(choices[1].by)

    def load(graph: bytes, size: tuple[int, int]) -> DeviceEngine:
        return device_engine(backend.load(graph, size=size, batch=1, options=look.options))

    cuda = Cuda(import_module(MODULE))
    stylizer = DeviceStylizer(look, load, cuda)
    try:
        stylizer.prepare(shape.height, shape.width)
    except EngineError:
        stylizer.close()
        raise
    return stages(stylizer, OnTheGPU(cuda), GPUEncoder(cuda))


def _choices(
    look: Stylizer, video: VideoInfo, shape: Shape, wanted: Encoding, encoding: Encoding
) -> tuple[Choice, ...]:
    assert encoding.codec is not None
    known = engines.backends()
    facts = probe(
        known if look.backend == "auto" else tuple(b for b in known if b.name == look.backend),
        look.pack.generator,
        (shape.height, shape.width),
        look.options,
        decoder=video.decoder,
        codec=encoding.codec,
    )
    filters = video.filters
    if (shape.width, shape.height) != (video.width, video.height):
        filters = (*filters, "scaled")
    if filters:
        needed = f"the video passes filters ({', '.join(filters)}), which work on the CPU"
        facts = replace(facts, nvdec=Unavailable(needed, ""))
    if wanted.preset is not None:
        reason = f"the preset {wanted.preset} is one of the CPU's encoder"
        facts = replace(facts, nvenc=Unavailable(reason, "leave out --preset"))
    return decide(facts)
