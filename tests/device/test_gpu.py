"""The same path on a real card: NVDEC, TensorRT and NVENC against the CPU's way."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

import graphs
import packs
import videos
from streamfx.device.decide import Facts, probe
from streamfx.device.decode import OnTheGPU
from streamfx.device.frames import DeviceFrame
from streamfx.device.stylize import resident_graph
from streamfx.engines import Available, EngineOptions, Unavailable, backends, choose
from streamfx.engines.cuda import LEGACY_STREAM, MODULE, Cuda
from streamfx.engines.nvidia import find_gpu
from streamfx.engines.tensorrt import FLAVOURS
from streamfx.media.reader import Reader
from streamfx.process import process_video
from streamfx.stylizer import Stylizer

pytestmark = pytest.mark.gpu

SIZE = (180, 320)
FRAMES = 24
OPTIONS = EngineOptions()


def facts() -> Facts:
    return probe(backends(), graphs.generator().SerializeToString(), SIZE, OPTIONS)


@pytest.fixture
def cuda() -> Cuda:
    gpu = find_gpu()
    if isinstance(gpu, Unavailable):
        pytest.skip(gpu.reason)
    return Cuda(pytest.importorskip(MODULE, reason="cuda-bindings is not installed"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return videos.make_video(tmp_path / "in.mp4", frames=FRAMES, size=SIZE[::-1])


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]


def test_nvdec_gives_what_the_cpu_decodes(cuda: Cuda, source: Path) -> None:
    if missing := facts().nvdec:
        pytest.skip(missing.reason)
    wanted = pictures(source)
    count = 0
    reader = Reader(source, OnTheGPU(cuda))
    frames = (item for item in reader if isinstance(item, DeviceFrame))
    for frame, want in zip(frames, wanted, strict=True):
        y, uv = (cuda.to_host(plane, LEGACY_STREAM) for plane in (frame.y, frame.uv))
        np.testing.assert_array_equal(y[0, 0], want[: SIZE[0]])
        u, v = want[SIZE[0] :].reshape(2, SIZE[0] // 2, SIZE[1] // 2)
        np.testing.assert_array_equal(uv[0, ..., 0], u)
        np.testing.assert_array_equal(uv[0, ..., 1], v)
        frame.close()
        count += 1
    reader.container.close()
    assert count == FRAMES


def test_a_file_stays_on_the_gpu(source: Path, tmp_path: Path) -> None:
    found = facts()
    for missing in (found.nvdec, found.nvenc):
        if missing is not None:
            pytest.skip(missing.reason)
    usable = [
        candidate.name
        for candidate in found.candidates
        if candidate.name in FLAVOURS and isinstance(candidate.found, Available)
    ]
    if not usable:
        pytest.skip("no TensorRT works here: streamfx engines probe says why")
    backend = choose(usable[0])
    pack = packs.tiny_pack(tmp_path)
    for graph in (pack.generator, resident_graph(pack.generator)):
        backend.build(graph, size=SIZE, batch=1, options=OPTIONS)
    target = tmp_path / "out.mp4"
    said: list[str] = []
    with Stylizer("great-wave", pack=pack, backend=backend.name) as stylizer:
        outcome = process_video(source, target, stylizer, say=said.append)
    assert not said  # that frames cannot stay there, for one
    assert outcome.frames == FRAMES
    shown = pictures(target)
    assert len(shown) == FRAMES
    before = pictures(source)
    for had, want in zip(shown, before, strict=True):
        assert had[: SIZE[0]].mean() > want[: SIZE[0]].mean() + graphs.STYLE_GAIN / 2
