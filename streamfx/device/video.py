"""A video file restyled without its pictures leaving the GPU: NVDEC, the engine, NVENC."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import av
import av.error

from streamfx import pipeline
from streamfx.device.decode import DeviceReader
from streamfx.device.encode import ENCODERS, DeviceEncoder
from streamfx.device.frames import DeviceFrame
from streamfx.engines.cuda import Cuda
from streamfx.errors import InputError, StreamFXError
from streamfx.media.landing import Landing

Restyle = Callable[[DeviceFrame], DeviceFrame]


def restyle_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    restyle: Restyle,
    cuda: Cuda,
    codec: str = "h264",
) -> int:
    """Decode, restyle and encode the pictures of a file; its sound is left out.

    Args:
        target: a file name whose end says the container; it appears when it is whole.
        restyle: such as a `DeviceStylizer`; all frames that it gives have one size.
        codec: see `streamfx.device.encode.ENCODERS`.

    Returns:
        How many frames there were.

    Raises:
        InputError: the source cannot be decoded on the GPU, or has no pictures.
        StreamFXError: NVENC cannot be opened or fails, or the file cannot be written.
    """
    reader = DeviceReader(source, cuda)
    try:
        with Landing(Path(target)) as landing:
            with av.open(f"file:{landing.working}", "w") as container:
                stream: Any = container.add_stream(ENCODERS[codec], rate=reader.rate)
                stream.time_base = reader.time_base
                encoder = DeviceEncoder(stream, cuda)
                count = restyle_frames(reader, restyle, encoder, container.mux)
            encoder.close()
            if not count:
                raise InputError(f"{os.fspath(source)} has no pictures")
            landing.land()
            return count
    except av.error.FFmpegError as error:
        raise StreamFXError(f"cannot write {os.fspath(target)!r}: {error}") from error
    finally:
        reader.close()


def restyle_frames(
    frames: Iterable[DeviceFrame],
    restyle: Restyle,
    encoder: DeviceEncoder,
    mux: Callable[[Any], object],
) -> int:
    """Pass frames through `restyle` and `encoder`, each stage on a thread of its own.

    Every frame is closed when its stage is done with it; where a stage fails, those that still
    wait are given back when they are forgotten.

    Returns:
        How many frames there were.
    """
    count = 0

    def restyled(frame: DeviceFrame) -> DeviceFrame:
        try:
            return restyle(frame)
        finally:
            frame.close()

    def encode(frame: DeviceFrame) -> None:
        nonlocal count
        try:
            packets = encoder.encode(frame)
        finally:
            frame.close()
        count += 1
        for packet in packets:
            mux(packet)

    pipeline.run(frames, restyled, encode)
    if count:
        for packet in encoder.flush():
            mux(packet)
    return count
