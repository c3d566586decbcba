"""Streams of one size on a GPU compute together; each gets what it would get alone."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphs
import packs
from devices import DEVICE, Cuda, engine
from streamfx import engines
from streamfx.engines.base import Available, EngineOptions, Unavailable
from streamfx.engines.batching import MOST_FRAMES, Batcher, Member
from streamfx.engines.cuda import Cuda as Runtime
from streamfx.engines.tensorrt_engine import TensorRTEngine
from streamfx.frames import Frame
from streamfx.live import LiveSettings, LiveStream, StyleShelf
from streamfx.live.sharing import SharedEngines
from streamfx.stylizer import Stylizer
from watching import grey, wait_for

SPEC = replace(graphs.SPEC, motion=True)
GRAPH = graphs.generator(SPEC).SerializeToString()
SIZE = (48, 64)
OPTIONS = EngineOptions(precision="fp32", threads=1)
STYLES = ("great-wave", "starry-night")
FRAMES = 8
MOST = 100  # frames until two streams are in step
FPS = 120
PATIENT = 60.0  # seconds: only a test that hangs waits so long
BRIEF = 0.05  # seconds


class Backend:
    """TensorRT for RTX on a GPU in software, its engine built for so many frames at a time."""

    name = "tensorrt-rtx"

    def __init__(self, built: int = MOST_FRAMES) -> None:
        self.cuda = Cuda()
        self.built = built
        self.loaded: Counter[int] = Counter()

    def probe(self) -> Available | Unavailable:
        return Available("1", "a double", ("fp32",))

    def ready(self, graph: bytes, *, batch: int, **_: Any) -> bool:
        return batch <= self.built

    def load(
        self, graph: bytes, *, size: tuple[int, int], batch: int = 1, **_: Any
    ) -> TensorRTEngine:
        self.loaded[batch] += 1
        runtime = Runtime(self.cuda, DEVICE)
        return engine(self.cuda, graph, size, batch, name=self.name, runtime=runtime)


def shared(backend: Any, wait: float = PATIENT) -> SharedEngines:
    return SharedEngines(lambda: (backend,), wait)


def load(given: SharedEngines, size: tuple[int, int] = SIZE) -> engines.Engine:
    return given.load(GRAPH, size, backend="auto", options=OPTIONS)


def batcher(given: SharedEngines) -> Batcher:
    (only,) = given._batchers.values()
    return only


def scene(number: int, index: int) -> Frame:
    """A frame of stream `number`: a grey that changes."""
    return grey(60 + 20 * number + 3 * (index % 20))


def test_two_streams_compute_together_and_keep_their_pasts(tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path, SPEC)
    given = shared(Backend(), BRIEF)
    shown: list[list[Frame]] = [[], []]
    streams = []
    for number, style in enumerate(STYLES):
        settings = LiveSettings(
            style=style, fps=FPS, keep_warm=True, audio=False, working_scales=(1.0,)
        )
        streams.append(LiveStream(style, StyleShelf(pack), settings, load=given.load))
        streams[-1].tap(shown[number].append)

    def show(index: int) -> None:
        for number, stream in enumerate(streams):
            stream.push(scene(number, index), time.monotonic())
        wait_for(lambda: all(len(each) == index + 1 for each in shown))
        time.sleep(2 / FPS)  # what comes sooner may be dropped, by the cap on the rate

    try:
        show(0)
        both = batcher(given)
        assert both.members == 2
        # The first frames may miss each other: one stream is ready before the other.
        begin = 1
        while not both.batches[2]:
            assert begin < MOST
            show(begin)
            begin += 1
        # In step, they stay so.
        both._wait = PATIENT
        in_step = both.batches[2]
        for index in range(begin, begin + FRAMES):
            show(index)
        assert both.batches[2] == in_step + FRAMES
    finally:
        for stream in streams:
            stream.close()
    for number, style in enumerate(STYLES):
        with Stylizer(style, pack=pack, backend="onnxruntime", threads=1) as alone:
            for index, found in enumerate(shown[number]):
                frame = scene(number, index)
                want = alone(replace(frame, pts=found.pts, time_base=found.time_base))
                for plane in "yuv":
                    np.testing.assert_array_equal(getattr(found, plane), getattr(want, plane))
    assert not given._batchers or batcher(given).members == 0


def test_streams_of_another_size_have_another_engine() -> None:
    backend = Backend()
    given = shared(backend)
    members = [load(given), load(given), load(given, (32, 48))]
    assert backend.loaded == {1: 2}
    assert sorted(each.members for each in given._batchers.values()) == [1, 2]
    for member in members:
        member.close()
    assert not backend.cuda.own_streams


def test_who_comes_when_all_have_left_gets_a_new_engine() -> None:
    backend = Backend()
    given = shared(backend)
    load(given).close()
    again = load(given)
    inputs = {name: np.zeros(s.shape, s.dtype) for name, s in again.inputs.items()}
    outputs = {name: np.empty(s.shape, s.dtype) for name, s in again.outputs.items()}
    again.run(inputs, outputs)
    assert backend.loaded == {1: 2}
    again.close()


def test_an_engine_that_takes_one_frame_at_a_time_is_not_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def own(graph: bytes, size: tuple[int, int], **options: Any) -> Any:
        asked.append((graph, size, options))
        return object()

    monkeypatch.setattr(engines, "load", own)
    given = shared(Backend(built=1))
    assert load(given) is not load(given)
    assert asked == [(GRAPH, SIZE, {"backend": "auto", "options": OPTIONS})] * 2


def test_on_a_cpu_every_stream_has_its_own() -> None:
    cpu = tuple(each for each in engines.backends() if each.name == "onnxruntime")
    given = SharedEngines(lambda: cpu)
    made = [given.load(GRAPH, SIZE, backend="onnxruntime", options=OPTIONS) for _ in range(2)]
    assert not any(isinstance(each, Member) for each in made)
    for each in made:
        each.close()


def test_a_named_back_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "load", lambda *_, backend, **__: backend)
    given = shared(Backend())
    assert given.load(GRAPH, SIZE, backend="openvino", options=OPTIONS) == "openvino"
    assert isinstance(given.load(GRAPH, SIZE, backend="tensorrt-rtx", options=OPTIONS), Member)


def test_threads_that_join_and_leave() -> None:
    backend = Backend()
    given = shared(backend, wait=0.001)
    failures: list[BaseException] = []

    def come_and_go(work: Callable[[], engines.Engine]) -> None:
        try:
            for _ in range(20):
                work().close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=come_and_go, args=(lambda: load(given),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENT)
    assert failures == []
    assert not backend.cuda.own_streams
