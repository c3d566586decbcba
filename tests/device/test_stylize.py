"""Surface to surface: what comes out is what the CPU makes of the same frames.

The GPU, the decoder and the encoder are the doubles of devices.py. What they catch: planes in the
wrong order or at the wrong pitch, work that nobody waited for, memory that is used too early.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import graphs
import packs
from device_codecs import Decoder, Encoder
from devices import DEVICE, RUBBISH, Cuda, engine
from streamfx.device.decode import frame_of
from streamfx.device.encode import DeviceEncoder
from streamfx.device.frames import DeviceFrame, SurfacePool
from streamfx.device.stylize import DeviceStylizer, device_engine
from streamfx.engines.cuda import LEGACY_STREAM
from streamfx.engines.cuda import Cuda as Runtime
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.tensorrt_engine import TensorRTEngine
from streamfx.errors import EngineError, StreamFXError
from streamfx.frames import Color, Frame
from streamfx.stylizer import Stylizer

SPEC = replace(graphs.SPEC, motion=True)
SIZE = (48, 64)
FRAMES = 8
Plane = NDArray[np.uint8]


@dataclass
class Rig:
    """A GPU in software, and a stylizer on it."""

    cuda: Cuda
    runtime: Runtime
    look: Stylizer
    stylizer: DeviceStylizer
    loads: int = 0

    def load(self, graph: bytes, size: tuple[int, int]) -> TensorRTEngine:
        self.loads += 1
        return engine(self.cuda, graph, size, runtime=self.runtime)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    pack = packs.tiny_pack(tmp_path, SPEC)
    cuda = Cuda()
    runtime = Runtime(cuda, DEVICE)
    with Stylizer("great-wave", pack=pack, backend="onnxruntime", threads=1) as look:
        made = Rig(cuda, runtime, look, None)  # type: ignore[arg-type]
        made.stylizer = DeviceStylizer(look, made.load, runtime)
        yield made
        made.stylizer.close()


def scene(index: int, size: tuple[int, int] = SIZE) -> tuple[Plane, Plane]:
    """Luma [H, W] and chroma [H/2, W/2, 2] of a ramp that moves; u and v differ everywhere."""
    height, width = size
    ramp = np.add.outer(np.arange(height), 2 * np.arange(width)) % 160 + 20
    u = np.add.outer(np.arange(height // 2), np.arange(width // 2)) % 90
    chroma = np.stack([u + 10, u + 130], -1)
    return np.roll(ramp, index, 1).astype(np.uint8), chroma.astype(np.uint8)


def on_the_cpu(rig: Rig, frames: list[tuple[Plane, Plane]]) -> list[Frame]:
    """The same frames through the CPU's stylizer, odd sides made even as its reader does."""
    shown = []
    with Stylizer(rig.look.style, pack=rig.look.pack, backend="onnxruntime", threads=1) as alone:
        for index, (luma, chroma) in enumerate(frames):
            odd = (luma.shape[0] % 2, luma.shape[1] % 2)
            y = np.pad(luma, ((0, odd[0]), (0, odd[1])), mode="edge")
            uv = np.pad(chroma, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
            u, v = (np.ascontiguousarray(uv[..., i]) for i in range(2))
            shown.append(alone(Frame(y, u, v, index, Fraction(1, 30))))
    return shown


def read(rig: Rig, frame: DeviceFrame) -> tuple[Plane, Plane]:
    y, uv = (rig.runtime.to_host(plane, LEGACY_STREAM) for plane in (frame.y, frame.uv))
    return y[0, 0], uv[0]


def check(found: tuple[Plane, Plane], wanted: Frame) -> None:
    y, uv = found
    np.testing.assert_array_equal(y, wanted.y)
    np.testing.assert_array_equal(uv[..., 0], wanted.u)
    np.testing.assert_array_equal(uv[..., 1], wanted.v)


# Odd sides: a decoder's chroma is then halved downwards, as PyAV shows it.
@pytest.mark.parametrize("size", [SIZE, (47, 64), (48, 63), (49, 65)])
@pytest.mark.parametrize("gap", [0, 37])
def test_frames_are_restyled_as_on_the_cpu(rig: Rig, size: tuple[int, int], gap: int) -> None:
    frames = [scene(index, size) for index in range(FRAMES)]
    wanted = on_the_cpu(rig, frames)
    decoder = Decoder(rig.cuda, size, surfaces=2, gap=gap)
    for index, (y, uv) in enumerate(frames):
        frame = frame_of(decoder.decode(y, uv, index), rig.runtime)
        assert (frame.height, frame.width) == size
        restyled = rig.stylizer(frame)
        frame.close()
        assert (restyled.pts, restyled.time_base, restyled.duration) == (index, Fraction(1, 30), 1)
        assert restyled.color == Color(1, 1, 1, 1)
        check(read(rig, restyled), wanted[index])
        restyled.close()
    assert not np.array_equal(wanted[0].y, frames[0][0])
    assert rig.loads == 1


def test_the_picture_and_the_past_never_leave_the_gpu(rig: Rig) -> None:
    decoder = Decoder(rig.cuda, SIZE)
    for index in range(FRAMES):
        rig.cuda.moved = dict.fromkeys(rig.cuda.moved, 0)
        frame = frame_of(decoder.decode(*scene(index), index), rig.runtime)
        rig.stylizer(frame).close()
        frame.close()
        picture = SIZE[0] * SIZE[1] * 3 // 2
        # In and out of the engine's dense buffers; and down, the luma that motion is read from.
        assert rig.cuda.moved[3] == 2 * picture
        assert rig.cuda.moved[2] == SIZE[0] * SIZE[1]
    quarter = SIZE[0] * SIZE[1] // 4
    motion, trust, style, strength = 8 * quarter, 4 * quarter, 4 * SPEC.style_size, 4
    assert rig.cuda.moved[1] == motion + trust + style + strength


def test_style_and_strength_count_from_the_next_frame_on(rig: Rig) -> None:
    decoder = Decoder(rig.cuda, SIZE)
    y, uv = scene(0)

    def restyled(index: int) -> tuple[Plane, Plane]:
        frame = frame_of(decoder.decode(y, uv, index), rig.runtime)
        shown = rig.stylizer(frame)
        found = read(rig, shown)
        frame.close()
        shown.close()
        return found

    assert not np.array_equal(restyled(0)[0], y)
    rig.look.style = "starry-night"
    assert (restyled(1)[1][..., 0] == uv[..., 0] + 40).all()
    rig.look.strength = 0.0
    found = restyled(2)
    np.testing.assert_array_equal(found[0], y)
    np.testing.assert_array_equal(found[1], uv)


def test_a_cut_starts_afresh(rig: Rig) -> None:
    rng = np.random.default_rng(0)
    noise = np.kron(rng.integers(0, 256, (6, 8)), np.ones((8, 8))).astype(np.uint8)
    frames = [scene(0), scene(1), (noise, scene(0)[1]), (np.roll(noise, 1, 1), scene(0)[1])]
    decoder = Decoder(rig.cuda, SIZE)
    for index, wanted in enumerate(on_the_cpu(rig, frames)):
        frame = frame_of(decoder.decode(*frames[index], index), rig.runtime)
        restyled = rig.stylizer(frame)
        check(read(rig, restyled), wanted)
        frame.close()
        restyled.close()


def test_another_size_gets_another_engine_and_old_frames_stay_whole(rig: Rig) -> None:
    small = (32, 48)
    first = rig.stylizer(frame_of(Decoder(rig.cuda, SIZE).decode(*scene(0), 0), rig.runtime))
    before = read(rig, first)
    other = Decoder(rig.cuda, small)
    second = rig.stylizer(frame_of(other.decode(*scene(1, small), 1), rig.runtime))
    assert (second.height, second.width) == small
    assert rig.loads == 2
    np.testing.assert_array_equal(read(rig, first)[0], before[0])


class Reusing(SurfacePool):
    """A pool with the mistake that the tests are there to find: it does not ask who reads."""

    def take(self) -> Any:
        surface, hold = super().take()
        self._free.append(surface)
        return surface, hold


def run_through(rig: Rig, holds: int) -> tuple[list[Any], Encoder]:
    frames = [scene(index) for index in range(FRAMES)]
    decoder = Decoder(rig.cuda, SIZE, surfaces=12)
    encoder = Encoder(holds)
    packets: list[Any] = []
    # One after the other, as the double of the GPU is for one thread.
    through = DeviceEncoder(encoder, rig.runtime)
    for index, (y, uv) in enumerate(frames):
        frame = frame_of(decoder.decode(y, uv, index), rig.runtime)
        restyled = rig.stylizer(frame)
        frame.close()
        packets += through.encode(restyled)
        restyled.close()
    packets += through.flush()
    return packets, encoder


@pytest.mark.parametrize("holds", [0, 1, 5])
def test_an_encoder_may_read_late(rig: Rig, holds: int) -> None:
    packets, encoder = run_through(rig, holds)
    wanted = on_the_cpu(rig, [scene(index) for index in range(FRAMES)])
    assert [pts for pts, _, _ in packets] == list(range(FRAMES))
    for (_, y, uv), want in zip(packets, wanted, strict=True):
        check((y, uv), want)
    # The same few addresses come again: what NVENC has to register stays few.
    assert len(encoder.addresses) <= holds + 2


def test_a_pool_that_reuses_early_is_found_out(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamfx.device.stylize.SurfacePool", Reusing)
    packets, _ = run_through(rig, holds=5)
    wanted = on_the_cpu(rig, [scene(index) for index in range(FRAMES)])
    wrong = [
        pts
        for (pts, y, _), want in zip(packets, wanted, strict=True)
        if not np.array_equal(y, want.y)
    ]
    assert wrong


def test_surfaces_outlive_the_stylizer_until_the_encoder_has_ended(rig: Rig) -> None:
    encoder = DeviceEncoder(Encoder(holds=3), rig.runtime)
    frame = frame_of(Decoder(rig.cuda, SIZE).decode(*scene(0), 0), rig.runtime)
    restyled = rig.stylizer(frame)
    address = restyled.y.address
    encoder.encode(restyled)
    restyled.close()
    encoder.flush()
    rig.stylizer.close()
    del restyled
    gc.collect()
    rig.cuda.at(address, SIZE[0])  # NVENC still has it registered
    encoder.close()
    gc.collect()
    with pytest.raises(AssertionError, match="outside every allocation"):
        rig.cuda.at(address, SIZE[0])


def test_the_decoder_gets_its_surface_back_when_the_frame_is_closed(rig: Rig) -> None:
    decoder = Decoder(rig.cuda, SIZE, surfaces=1)
    frame = frame_of(decoder.decode(*scene(0), 0), rig.runtime)
    assert not decoder.free
    restyled = rig.stylizer(frame)
    frame.close()
    assert decoder.free
    assert (rig.cuda.at(decoder.free[0], 10) == RUBBISH).all()
    assert not (read(rig, restyled)[0] == RUBBISH).all()


@pytest.mark.parametrize("call", ["cudaMemcpyAsync", "cudaMemcpy2DAsync"])
def test_a_failing_copy_is_an_error_and_loses_no_surface(rig: Rig, call: str) -> None:
    decoder = Decoder(rig.cuda, SIZE)
    frame = frame_of(decoder.decode(*scene(0), 0), rig.runtime)
    rig.stylizer(frame).close()
    rig.cuda.fails = {call}
    for _ in range(40):  # more often than there are surfaces
        with pytest.raises(EngineError, match=f"{call} failed: 2"):
            rig.stylizer(frame)
    rig.cuda.fails = set()
    rig.stylizer(frame).close()


def test_errors_name_the_way_out(rig: Rig) -> None:
    decoder = Decoder(rig.cuda, SIZE)
    picture = decoder.decode(*scene(0), 0)
    picture.sw_format.name = "p010le"
    with pytest.raises(StreamFXError, match=r"decodes this video to p010le.*on the CPU"):
        frame_of(picture, rig.runtime)
    picture.sw_format.name = "nv12"
    picture.interlaced_frame = True
    with pytest.raises(StreamFXError, match="interlaced, turned and HDR"):
        frame_of(picture, rig.runtime)
    picture.interlaced_frame = False
    with pytest.raises(StreamFXError, match=r"lies on device \(1, 0\), not \(2, 0\)"):
        frame_of(picture, Runtime(rig.cuda))
    frame = frame_of(decoder.decode(*scene(0), 0), rig.runtime)
    with pytest.raises(StreamFXError, match="out of a pool, not a decoder's"):
        DeviceEncoder(Encoder(), rig.runtime).encode(frame)
    engine = ONNXRuntimeBackend().load(
        graphs.generator().SerializeToString(), size=SIZE, options=replace(rig.look.options)
    )
    with pytest.raises(StreamFXError, match="onnxruntime takes frames from the host's memory"):
        device_engine(engine)
    rig.stylizer.close()
    rig.stylizer.close()
    with pytest.raises(StreamFXError, match="closed"):
        rig.stylizer(frame)
    frame.close()


def test_everything_is_freed(rig: Rig) -> None:
    held = set(rig.cuda.memory)
    decoder = Decoder(rig.cuda, SIZE)
    frame = frame_of(decoder.decode(*scene(0), 0), rig.runtime)
    restyled = rig.stylizer(frame)
    frame.close()
    restyled.close()
    rig.stylizer.close()
    del frame, restyled
    gc.collect()
    assert set(rig.cuda.memory) - held == set(decoder.free)
    assert not rig.cuda.own_streams
    assert not rig.cuda.events
