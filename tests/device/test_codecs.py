"""PyAV on both sides of the frames: what its decoders lend, and what its encoders take.

Without a GPU the same calls run on the host's memory, which is what DLPack is then told.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.codec.hwaccel import HWAccel, hwdevices_available

import videos
from devices import DEVICE, Cuda, bytes_at
from streamfx.device.decode import OnTheGPU, frame_of, hardware
from streamfx.device.encode import ENCODERS, DeviceEncoder
from streamfx.device.frames import DeviceFrame, SurfacePool
from streamfx.engines import Unavailable
from streamfx.engines.cuda import LEGACY_STREAM
from streamfx.engines.cuda import Cuda as Runtime
from streamfx.engines.nvidia import find_gpu
from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Color
from streamfx.media.reader import Reader

SIZE = (96, 160)
COUNT = 6


@pytest.fixture
def cuda() -> Cuda:
    return Cuda()


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return [frame.reformat(format="nv12") for frame in container.decode(video=0)]


def test_a_decoded_picture_is_borrowed_with_its_pitch(cuda: Cuda, tmp_path: Path) -> None:
    runtime = Runtime(cuda, DEVICE)
    path = videos.make_video(tmp_path / "in.mp4", frames=2, size=(158, 90))
    for index, picture in enumerate(decoded(path)):
        for plane in picture.planes:  # the double looks after its memory
            cuda.memory[plane.buffer_ptr] = bytes_at(plane.buffer_ptr, plane.buffer_size)
        frame = frame_of(picture, runtime)
        assert (frame.height, frame.width) == (90, 158)
        assert frame.y.pitch == picture.planes[0].line_size > 158
        assert frame.time == pytest.approx(index / 30, abs=0.01)
        array = picture.to_ndarray()
        y, uv = (runtime.to_host(plane, LEGACY_STREAM) for plane in (frame.y, frame.uv))
        np.testing.assert_array_equal(y[0, 0], array[:90])
        np.testing.assert_array_equal(uv.reshape(45, 158), array[90:])
        frame.close()


def test_an_encoder_reads_surfaces_in_place(cuda: Cuda, tmp_path: Path) -> None:
    """libx264 in NVENC's place: lossless, so what comes back is what lay in the surface."""
    runtime = Runtime(cuda, DEVICE)
    pool = SurfacePool(runtime, SIZE, limit=2)
    rng = np.random.default_rng(0)
    wanted = []
    path = tmp_path / "out.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.time_base = Fraction(1, 1000)
        encoder = DeviceEncoder(stream, runtime)
        for index in range(COUNT):
            surface, hold = pool.take()
            memory = cuda.at(surface.y.address, surface.pitch * SIZE[0] * 3 // 2)
            memory[:] = rng.integers(0, 256, memory.size)
            shown = memory.reshape(-1, surface.pitch)[:, : SIZE[1]]
            wanted.append(shown.copy())
            frame = DeviceFrame(
                surface.y,
                surface.uv,
                hold,
                surface,
                pts=40 * index,
                time_base=Fraction(1, 1000),
                color=Color(1, 2, 1, 1),
            )
            for packet in encoder.encode(frame):
                container.mux(packet)
            frame.close()
        for packet in encoder.flush():
            container.mux(packet)
    encoder.close()
    assert pool.made <= 2
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert [round(1000 * frame.time) for frame in frames] == [40 * i for i in range(COUNT)]
    assert {(frame.colorspace, frame.color_range) for frame in frames} == {(1, 2)}
    for frame, want in zip(frames, wanted, strict=True):
        # yuvj420p or yuv420p: either way the same numbers, in planes of their own.
        planes = [np.from_dlpack(plane) for plane in frame.planes]
        np.testing.assert_array_equal(planes[0], want[: SIZE[0]])
        chroma = want[SIZE[0] :].reshape(SIZE[0] // 2, SIZE[1] // 2, 2)
        np.testing.assert_array_equal(planes[1], chroma[..., 0])
        np.testing.assert_array_equal(planes[2], chroma[..., 1])


def test_pyav_has_what_the_gpu_path_calls() -> None:
    """The parts of PyAV's interface that no machine without a GPU can run."""
    assert "cuda" in hwdevices_available()
    accelerated = hardware()
    assert isinstance(accelerated, HWAccel)
    assert accelerated.is_hw_owned
    assert accelerated.options["primary_ctx"] == "1"
    assert not accelerated.allow_software_fallback
    for name in ENCODERS.values():
        formats = {format.name for format in av.Codec(name, "w").video_formats or ()}
        assert {"cuda", "nv12"} <= formats
    for name in ("h264", "hevc", "av1", "vp8", "vp9"):
        configs = av.Codec(name, "r").hardware_configs
        assert any(
            config.is_supported and config.device_type.name == "cuda" for config in configs
        ), name


@pytest.mark.skipif(not isinstance(find_gpu(), Unavailable), reason="there is a GPU")
def test_without_a_gpu_each_end_says_so(cuda: Cuda, tmp_path: Path) -> None:
    source = videos.make_video(tmp_path / "in.mp4", frames=2)
    runtime = Runtime(cuda, DEVICE)
    with pytest.raises(InputError, match=r"in\.mp4"):
        Reader(source, OnTheGPU(runtime))
    pool = SurfacePool(runtime, SIZE)
    surface, hold = pool.take()
    context = av.CodecContext.create("h264_nvenc", "w")
    context.time_base = Fraction(1, 30)
    encoder = DeviceEncoder(context, runtime)
    with pytest.raises(StreamFXError, match="the encoder on the GPU failed"):
        encoder.encode(DeviceFrame(surface.y, surface.uv, hold, surface))
