"""Frames start on the engine that is ready, and go on on the better one once it has been built."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import graphs
import packs
import videos
from better import Better
from streamfx import engines
from streamfx.engines.base import NeedsNoBuild
from streamfx.engines.contract import GraphSpec
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.openvino import OpenVINOBackend
from streamfx.engines.upgrade import UpgradingEngine
from streamfx.frames import Frame
from streamfx.live.fade import Look
from streamfx.live.restyle import Restyler
from streamfx.live.settings import LiveSettings
from streamfx.live.stats import Tally
from streamfx.process import process_video
from streamfx.stylizer import Stylizer

SIZE = (48, 64)
SPEC = GraphSpec(style_size=4, state_channels=2, margin=8, stride=16, motion=True)
FP32 = engines.EngineOptions(precision="fp32", threads=1)


@pytest.fixture(autouse=True)
def nothing_failed_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_failed", set())


@pytest.fixture
def better(monkeypatch: pytest.MonkeyPatch) -> Iterator[Better]:
    made = Better()
    monkeypatch.setattr(engines, "backends", lambda: (made, OpenVINOBackend()))
    yield made
    made.go.set()


def moving(count: int, size: tuple[int, int] = SIZE) -> list[Frame]:
    """A ramp that moves to the right, one pixel a frame."""
    height, width = size
    ramp = np.tile(np.linspace(20, 200, width, dtype=np.uint8), (height, 1))
    chroma = np.full((height // 2, width // 2), 120, np.uint8)
    return [
        Frame(np.roll(ramp, step, axis=1), chroma, chroma.copy(), step, Fraction(1, 30))
        for step in range(count)
    ]


def engine_of(stylizer: Stylizer) -> UpgradingEngine:
    engine = stylizer._engines[SIZE]
    assert isinstance(engine, UpgradingEngine)
    return engine


def test_the_switch_falls_between_two_frames_and_nothing_jumps(
    better: Better, tmp_path: Path
) -> None:
    pack = packs.tiny_pack(tmp_path, SPEC)
    with (
        Stylizer("great-wave", pack=pack, threads=1) as stylizer,
        Stylizer("great-wave", pack=pack, backend="better", threads=1) as alone,
    ):
        used = []
        for index, frame in enumerate(moving(12)):
            if index == 5:
                better.go.set()
                assert engine_of(stylizer).wait(60)
            restyled, wanted = stylizer(frame), alone(frame)
            used.append(stylizer.prepare(*SIZE).backend)
            assert restyled.time == frame.time
            # The states are in it: had one been lost, the frame would differ by far more.
            np.testing.assert_allclose(restyled.y.astype(int), wanted.y, atol=2)
            np.testing.assert_allclose(restyled.u.astype(int), wanted.u, atol=1)
        assert used == ["openvino"] * 5 + ["better"] * 7
    assert better.builds == 1


class Watched:
    """A stylizer that lets the build end before frame 8 and notes which engine each frame had."""

    def __init__(self, stylizer: Stylizer, end_build: Callable[[], None]) -> None:
        self._stylizer = stylizer
        self._end_build = end_build
        self.used: list[str] = []
        self.frames: list[Frame] = []

    def __call__(self, frame: Frame) -> Frame:
        if len(self.used) == 8:
            self._end_build()
        restyled = self._stylizer(frame)
        self.used.append(self._stylizer.prepare(frame.height, frame.width).backend)
        self.frames.append(restyled)
        return restyled

    def picture(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._stylizer.picture(rgb)

    def reset(self) -> None:
        self._stylizer.reset()


def test_in_the_middle_of_a_file_no_frame_is_lost(better: Better, tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path, SPEC)
    source = videos.make_video(tmp_path / "in.mp4", frames=20, size=SIZE[::-1])

    with (
        Stylizer("great-wave", pack=pack, threads=1) as stylizer,
        Stylizer("great-wave", pack=pack, backend="better", threads=1) as alone,
    ):

        def end_build() -> None:
            better.go.set()
            assert engine_of(stylizer).wait(60)

        watched = Watched(stylizer, end_build)
        outcome = process_video(source, tmp_path / "out.mp4", watched)
        wanted = Watched(alone, lambda: None)
        process_video(source, tmp_path / "wanted.mp4", wanted)
    assert outcome.frames == 20
    assert watched.used == ["openvino"] * 8 + ["better"] * 12
    for had, want in zip(watched.frames, wanted.frames, strict=True):
        assert had.pts == want.pts
        np.testing.assert_allclose(had.y.astype(int), want.y, atol=2)


def test_in_the_middle_of_a_live_stream_no_frame_is_dropped(
    better: Better, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pack = packs.tiny_pack(tmp_path, SPEC)
    live = LiveSettings(threads=1, working_scales=(1.0,))
    counts = Tally(Silent())
    restyler = Restyler(
        "live", pack, live, Look(np.array(pack.styles[0].code, np.float32), 1.0), counts
    )
    frames = moving(12)
    shown = []
    with caplog.at_level(logging.INFO):
        restyler.prepare(frames[0], SIZE[::-1])
        for index, frame in enumerate(frames):
            if index == 5:
                better.go.set()
                assert restyler._stylizer is not None
                assert engine_of(restyler._stylizer).wait(60)
            shown.append(restyler(frame, SIZE[::-1], 10.0))
    restyler.close()
    assert [frame.pts for frame in shown] == list(range(12))
    assert caplog.text.count("switched to better fp32") == 1
    assert not counts._dropped
    with Stylizer("great-wave", pack=pack, backend="better", threads=1) as alone:
        for had, frame in zip(shown, frames, strict=True):
            np.testing.assert_allclose(had.y.astype(int), alone(frame).y, atol=2)


class Silent:
    """Observes nothing."""

    def count(self, *_: object, **__: object) -> None: ...


def test_a_size_that_comes_again_is_built_once(better: Better) -> None:
    graph = graphs.generator().SerializeToString()
    first = engines.load(graph, SIZE, options=FP32)
    assert isinstance(first, UpgradingEngine)
    better.go.set()
    assert first.wait(60)
    second = engines.load(graph, SIZE, options=FP32)
    assert second.info.backend == "better"
    assert not isinstance(second, UpgradingEngine)
    assert better.builds == 1


def test_a_failed_build_is_said_once_and_the_first_engine_stays(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Better("the graph is too good")
    broken.go.set()
    monkeypatch.setattr(engines, "backends", lambda: (broken, OpenVINOBackend()))
    graph = graphs.generator().SerializeToString()
    with caplog.at_level(logging.WARNING):
        engine = engines.load(graph, SIZE, options=FP32)
        assert isinstance(engine, UpgradingEngine)
        assert engine.wait(60)
        engine.run(*tensors(engine))
    assert engine.info.backend == "openvino"
    assert "openvino fp32 on" in caplog.text
    assert "better: the graph is too good" in caplog.text
    again = engines.load(graph, SIZE, options=FP32)
    assert not isinstance(again, UpgradingEngine)
    assert broken.builds == 1


def test_closing_before_and_after_the_better_one_is_there(better: Better) -> None:
    graph = graphs.generator().SerializeToString()
    early = engines.load(graph, SIZE, options=FP32)
    assert isinstance(early, UpgradingEngine)
    early.close()
    better.go.set()
    assert early.wait(60)
    with pytest.raises(engines.EngineError, match="closed"):
        early.run(*tensors(early))
    early.close()


def test_an_engine_with_other_tensors_is_not_switched_to(better: Better) -> None:
    graph = graphs.generator().SerializeToString()
    options = {"options": FP32}
    engine = UpgradingEngine(
        OpenVINOBackend().load(graph, size=SIZE, **options),
        lambda: OpenVINOBackend().load(graph, size=(32, 32), **options),
    )
    assert engine.wait(60)
    engine.run(*tensors(engine))
    engine.close()


def test_auto_says_what_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(OpenVINOBackend, NeedsNoBuild):
        def load(self, *_: object, **__: object) -> engines.Engine:  # type: ignore[override]
            raise engines.EngineError("the device fell off")

    monkeypatch.setattr(engines, "backends", lambda: (Failing(), ONNXRuntimeBackend()))
    graph = graphs.generator().SerializeToString()
    assert engines.load(graph, SIZE, options=FP32).info.backend == "onnxruntime"
    assert "openvino is left out: the device fell off" in caplog.text
    monkeypatch.setattr(engines, "backends", lambda: (Failing(),))
    with pytest.raises(engines.EngineError, match="fell off"):
        engines.load(graph, SIZE, options=FP32)


def tensors(
    engine: engines.Engine,
) -> tuple[dict[str, engines.Array], dict[str, engines.Array]]:
    inputs = {name: np.zeros(spec.shape, spec.dtype) for name, spec in engine.inputs.items()}
    outputs = {name: np.zeros(spec.shape, spec.dtype) for name, spec in engine.outputs.items()}
    return inputs, outputs
