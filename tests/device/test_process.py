"""A file whose frames stay on the GPU becomes what the CPU makes of it, sound and all.

Real files, PyAV on both ends in the host's memory, and the GPU of devices.py between them.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any

import av
import numpy as np
import pytest

import graphs
import packs
from devices import DEVICE, FP32, Cuda, bytes_at, engine
from streamfx import engines
from streamfx.device import decide, video
from streamfx.device.decode import OnTheGPU
from streamfx.device.frames import DeviceFrame
from streamfx.device.stylize import DeviceStylizer
from streamfx.device.video import GPUEncoder, find_stages, stages
from streamfx.engines.base import Available
from streamfx.engines.cuda import Cuda as Runtime
from streamfx.engines.errors import EngineError
from streamfx.engines.nvidia import Gpu
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.tensorrt_engine import TensorRTEngine
from streamfx.media.containers import Encoding
from streamfx.media.planes import Orientation
from streamfx.media.sizes import WantedSize
from streamfx.pipeline import Stages
from streamfx.process import End, Outcome, Settings, process_video
from streamfx.stylizer import Stylizer
from videos import TAGGED, Contents, contents, make_video

SPEC = replace(graphs.SPEC, motion=True)
SUBTITLES = """1
00:00:00,100 --> 00:00:00,300
Hello
"""
GPU = Gpu("NVIDIA Test 4090", (8, 9), cuda=(13, 1))
LEVELS = 3.0  # between two encoders with different settings, on average


class InHostMemory(OnTheGPU):
    """NVDEC's place is taken by FFmpeg, and its surfaces by NV12 pictures of the host's memory."""

    def __init__(self, cuda: Cuda, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.hwaccel = None
        self._double = cuda

    def frame(
        self, picture: Any, orientation: Orientation, pts: int, time_base: Fraction
    ) -> DeviceFrame:
        surface = picture.reformat(format="nv12")
        for plane in surface.planes:  # the double looks after its memory
            memory = bytes_at(plane.buffer_ptr, plane.buffer_size)
            self._double.memory[plane.buffer_ptr] = memory
        return super().frame(surface, orientation, pts, time_base)


@dataclass
class Card:
    """A GPU in software, and what a file does on it."""

    cuda: Cuda = field(default_factory=Cuda)
    loads: int = 0
    frames: int = 0
    before_frame: Callable[[int], None] = lambda _: None

    def __post_init__(self) -> None:
        self.runtime = Runtime(self.cuda, DEVICE)

    def load(self, graph: bytes, size: tuple[int, int]) -> TensorRTEngine:
        self.loads += 1
        return engine(self.cuda, graph, size, name="tensorrt-rtx", runtime=self.runtime)

    def stages(self, look: Stylizer, *_: Any) -> Stages[DeviceFrame]:
        """In place of `find_stages`."""
        found = stages(
            DeviceStylizer(look, self.load, self.runtime),
            InHostMemory(self.cuda, self.runtime),
            GPUEncoder(self.runtime, {"h264": "libx264"}),
        )

        def restyle(frame: DeviceFrame) -> DeviceFrame:
            self.frames += 1
            self.before_frame(self.frames)
            return found.restyle(frame)

        return replace(found, restyle=restyle)


@pytest.fixture
def card() -> Card:
    return Card()


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Stylizer]:
    pack = packs.tiny_pack(tmp_path, SPEC)
    with Stylizer("great-wave", pack=pack, backend="onnxruntime", threads=1) as stylizer:
        yield stylizer


def both(
    source: Path, suffix: str, look: Stylizer, card: Card, settings: Settings | None = None
) -> tuple[Contents, Contents]:
    """What the CPU and the card make of a file."""
    made = []
    for name, find in (("cpu", lambda *_: None), ("gpu", card.stages)):
        said: list[str] = []
        target = source.with_name(f"{name}{suffix}")
        outcome = process_video(source, target, look, settings, say=said.append, on_the_gpu=find)
        assert outcome.end is End.DONE
        assert said == []
        made.append(contents(target))
        assert outcome.frames == len(made[-1].times)
    return made[0], made[1]


def assert_equal(cpu: Contents, gpu: Contents) -> None:
    assert gpu.times == cpu.times
    assert gpu.length == cpu.length
    assert gpu.sound == cpu.sound
    assert gpu.texts == cpu.texts
    assert gpu.kinds == cpu.kinds
    assert gpu.codecs == cpu.codecs
    assert (gpu.aspect, gpu.color) == (cpu.aspect, cpu.color)
    assert gpu.metadata == cpu.metadata
    for there, here in zip(gpu.lumas, cpu.lumas, strict=True):
        assert np.abs(there.astype(int) - here).mean() < LEVELS


def test_every_frame_time_and_packet_comes_out(tmp_path: Path, look: Stylizer, card: Card) -> None:
    source = make_video(
        tmp_path / "in.mp4",
        frames=20,
        sound="aac",
        metadata={"title": "A title"},
        context=TAGGED,
    )
    before = contents(source)
    cpu, gpu = both(source, ".mp4", look, card)
    assert_equal(cpu, gpu)
    assert (gpu.times, gpu.sound) == (before.times, before.sound)
    assert gpu.metadata["title"] == "A title"
    assert gpu.color == (1, 1, 1, 1)
    assert (card.loads, card.frames) == (1, 20)
    # Both differ from the input by the style.
    assert all(b > a + 30 for a, b in zip(before.levels, gpu.levels, strict=True))
    # In and out of the engine's buffers, within the card.
    assert card.cuda.moved[3] == 20 * 2 * (64 * 48 * 3 // 2)


def test_subtitles_and_uneven_timing(tmp_path: Path, look: Stylizer, card: Card) -> None:
    (tmp_path / "t.srt").write_text(SUBTITLES)
    times = [0, 512, 700, 1100, 1600, 3000, 8000, 8100]
    source = make_video(
        tmp_path / "in.mkv",
        times=times,
        time_base=Fraction(1, 12_800),
        sound="libopus",
        subtitles=tmp_path / "t.srt",
    )
    cpu, gpu = both(source, ".mkv", look, card)
    assert_equal(cpu, gpu)
    assert len(gpu.texts) == 1


def test_a_part_of_a_file(tmp_path: Path, look: Stylizer, card: Card) -> None:
    source = make_video(tmp_path / "in.mp4", frames=30, sound="aac", options={"g": "10"})
    cpu, gpu = both(source, ".mp4", look, card, Settings(start=0.4, duration=0.3))
    assert_equal(cpu, gpu)
    assert len(gpu.times) == 9


def test_what_was_done_when_it_is_stopped_is_kept(
    tmp_path: Path, look: Stylizer, card: Card
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=60, options={"bf": "0"})
    stop = Event()
    seen: list[int] = []

    def progress(done: int, expected: int) -> None:
        seen.append(done)
        if done == 5:
            stop.set()

    outcome = process_video(
        source, tmp_path / "out.mp4", look, progress=progress, stop=stop, on_the_gpu=card.stages
    )
    assert outcome.end is End.STOPPED
    assert outcome.path == tmp_path / "out.partial.mp4"
    kept = contents(outcome.path)
    assert 5 <= len(kept.times) == outcome.frames < 60
    assert seen == list(range(1, outcome.frames + 1))
    assert not (tmp_path / "out.mp4").exists()


def fallen(source: Path, look: Stylizer, card: Card) -> tuple[Contents, list[str], Outcome]:
    said: list[str] = []
    target = source.with_name("fallen.mp4")
    outcome = process_video(source, target, look, say=said.append, on_the_gpu=card.stages)
    return contents(target), said, outcome


@pytest.mark.parametrize(
    "failure", [EngineError("the card fell off"), ValueError("the card fell off")]
)
def test_the_cpu_begins_anew_where_the_card_fails(
    tmp_path: Path, look: Stylizer, card: Card, failure: Exception
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=20, sound="aac")

    def fail(index: int) -> None:
        if index == 7:
            raise failure

    card.before_frame = fail
    found, said, outcome = fallen(source, look, card)
    assert said == ["frames cannot stay on the GPU, and the CPU begins anew: the card fell off"]
    assert (outcome.end, outcome.frames) == (End.DONE, 20)
    cpu, _ = both(source, ".mp4", look, Card())
    assert_equal(cpu, found)
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".mp4") == [
        "cpu.mp4",
        "fallen.mp4",
        "gpu.mp4",
        "in.mp4",
    ]


def test_a_picture_that_needs_a_filter_is_left_to_the_cpu(
    tmp_path: Path, look: Stylizer, card: Card
) -> None:
    """Its first picture does not: in mid-stream the size changes."""
    parts = [
        make_video(tmp_path / f"{width}.ts", frames=6, size=(width, 48), options={"bf": "0"})
        for width in (64, 96)
    ]
    source = tmp_path / "in.ts"
    with av.open(str(source), "w") as output:
        stream: Any = None
        for index, part in enumerate(parts):
            with av.open(str(part)) as given:
                stream = stream or output.add_stream_from_template(
                    given.streams.video[0], opaque=True
                )
                for packet in given.demux():
                    if packet.size:
                        packet.pts += index * 18_000
                        packet.dts += index * 18_000
                        packet.stream = stream
                        output.mux(packet)
    found, said, outcome = fallen(source, look, card)
    assert "pictures on the GPU cannot be scaled" in "".join(said)
    assert outcome.frames == len(found.times) == 12


def test_everything_is_given_back(
    tmp_path: Path, look: Stylizer, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=12)
    taken: set[int | None] = set()
    given_back: set[int | None] = set()
    malloc, free = card.cuda.cudaMalloc, card.cuda.cudaFree

    def counted_malloc(size: int) -> tuple[int, int | None]:
        status, address = malloc(size)
        taken.add(address)
        return status, address

    def counted_free(address: int) -> tuple[int]:
        given_back.add(address)
        return free(address)

    monkeypatch.setattr(card.cuda, "cudaMalloc", counted_malloc)
    monkeypatch.setattr(card.cuda, "cudaFree", counted_free)
    process_video(source, tmp_path / "out.mp4", look, on_the_gpu=card.stages)
    gc.collect()
    assert taken == given_back
    assert not card.cuda.own_streams
    assert not card.cuda.events


def test_nobody_is_asked_where_it_is_not_wanted(tmp_path: Path, look: Stylizer) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3)

    def asked(*_: Any) -> None:
        raise AssertionError

    settings = Settings(frames="cpu")
    outcome = process_video(source, tmp_path / "out.mp4", look, settings, on_the_gpu=asked)
    assert outcome.end is End.DONE


class Backend:
    """TensorRT for RTX on the double, with the engines that a test says are built."""

    name = "tensorrt-rtx"

    def __init__(self, card: Card, built: int = 2) -> None:
        self._card = card
        self._built = built
        self._graphs: list[bytes] = []

    def probe(self) -> Available:
        return Available("1", GPU.name, ("fp16",))

    def ready(self, graph: bytes, **_: Any) -> bool:
        if graph not in self._graphs:
            self._graphs.append(graph)
        return self._graphs.index(graph) < self._built

    def load(self, graph: bytes, *, size: tuple[int, int], **_: Any) -> TensorRTEngine:
        return self._card.load(graph, size)


@pytest.fixture
def machine(card: Card, monkeypatch: pytest.MonkeyPatch) -> Card:
    """This machine has the card, NVDEC and NVENC, and both engines."""
    backend = Backend(card)
    cpu = next(each for each in engines.backends() if each.name == "openvino")
    monkeypatch.setattr(engines, "backends", lambda: (backend, cpu))
    monkeypatch.setattr(engines, "choose", lambda _name: backend)
    monkeypatch.setattr(decide, "find_gpu", lambda: GPU)
    monkeypatch.setattr(decide, "_nvdec", lambda _decoder: None)
    monkeypatch.setattr(decide, "_nvenc", lambda _codec: None)
    monkeypatch.setattr(video, "import_module", lambda _name: card.cuda)
    return card


def load_planar(graph: bytes, size: tuple[int, int], **_: Any) -> engines.Engine:
    """In place of `engines.load`, for the double has no engine of planar frames."""
    return ONNXRuntimeBackend().load(graph, size=size, options=FP32)


def asked(source: Path, look: Stylizer, settings: Settings) -> Stages[DeviceFrame] | None:
    """What `process_video` is told by `find_stages`; the job itself is done on the CPU."""
    answers: list[Stages[DeviceFrame] | None] = []

    def find(*arguments: Any) -> None:
        answers.append(find_stages(*arguments))

    process_video(source, source.with_name("out.mp4"), look, settings, on_the_gpu=find)
    return answers[0]


@pytest.fixture
def anywhere(tmp_path: Path) -> Iterator[Stylizer]:
    with Stylizer("great-wave", pack=packs.tiny_pack(tmp_path, SPEC), precision="fp32") as look:
        yield look


def test_stages_are_found_with_their_engine_loaded(
    tmp_path: Path,
    anywhere: Stylizer,
    machine: Card,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    source = make_video(tmp_path / "in.mp4", frames=3)
    monkeypatch.setattr(engines, "load", load_planar)
    found = asked(source, anywhere, Settings(Encoding(crf=30)))
    assert found is not None
    assert machine.loads == 1
    assert found.decoding.hwaccel is not None
    assert "decode runs on the GPU by NVDEC" in caplog.text
    assert "stylize runs on the GPU by tensorrt-rtx" in caplog.text
    assert "encode runs on the GPU by NVENC" in caplog.text
    found.close()
    assert not machine.cuda.own_streams


@pytest.mark.parametrize(
    ("made", "settings", "reason"),
    [
        ({}, Settings(Encoding(preset="fast")), "the preset fast is one of the CPU's encoder"),
        ({}, Settings(size=WantedSize(128, 96)), "the video passes filters (scaled)"),
        ({"pix_fmt": "yuv422p"}, Settings(), "the video passes filters (yuv422p)"),
        ({"rotation": 90}, Settings(), "the video passes filters (turned)"),
    ],
)
def test_why_a_video_is_left_to_the_cpu(
    made: dict[str, Any],
    settings: Settings,
    reason: str,
    tmp_path: Path,
    anywhere: Stylizer,
    machine: Card,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(engines, "load", load_planar)
    assert asked(make_video(tmp_path / "in.mp4", frames=3, **made), anywhere, settings) is None
    assert reason in caplog.text
    assert machine.loads == 0


def test_an_engine_that_is_not_built_is_named(
    tmp_path: Path,
    anywhere: Stylizer,
    machine: Card,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(engines, "backends", lambda: (Backend(machine, built=1),))
    monkeypatch.setattr(engines, "load", load_planar)
    assert asked(make_video(tmp_path / "in.mp4", frames=3), anywhere, Settings()) is None
    assert "try: streamfx engines build --backend tensorrt-rtx" in caplog.text
