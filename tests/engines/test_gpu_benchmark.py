"""benchmarks/gpu.py, as far as a machine without a card can run it.

CUDA and TensorRT are the doubles of devices.py; ONNX Runtime and PyTorch work on the CPU.
"""

from __future__ import annotations

import importlib
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import devices
import graphs
from streamfx.engines import Unavailable
from streamfx.engines.cuda import Cuda
from streamfx.engines.graph import read_spec, tensor_specs
from streamfx.engines.nvidia import find_gpu
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.errors import EngineError, StreamFXError
from streamfx.styles import Pack, find_pack

FOLDER = Path(__file__).parents[2] / "benchmarks"
SIZE = (48, 64)
CLIP = 4  # frames
GRAPH = graphs.generator(replace(graphs.SPEC, motion=True)).SerializeToString()


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        for name in ("gpu", "gpu_contenders"):
            patch.setattr(importlib.import_module(name), "CLIP_FRAMES", CLIP)
        yield


@pytest.fixture
def gpu(short: None) -> ModuleType:
    return importlib.import_module("gpu")


@pytest.fixture
def made(short: None) -> ModuleType:
    return importlib.import_module("gpu_contenders")


@pytest.fixture(scope="module")
def subject(short: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The wide network, exported here: PyTorch and the graph have one code behind them."""
    folder, gpu = tmp_path_factory.mktemp("subject"), importlib.import_module("gpu")
    return gpu.subject_of(gpu.untrained(folder), SIZE, folder)


@pytest.fixture
def reference(made: ModuleType) -> Any:
    """ONNX Runtime on the CPU, in the place of its CUDA provider."""
    settings = {"backend": "onnxruntime", "resident": False, "precision": "fp32"}
    return made.Contender("on the CPU", "onnxruntime", partial(made.one, **settings))


@pytest.fixture
def tiny(made: ModuleType) -> Any:
    """Noise for a graph with every tensor of the contract."""
    inputs, _ = tensor_specs(read_spec(GRAPH), SIZE, 1)
    rng = np.random.default_rng(0)
    frames = [
        {
            name: rng.integers(0, 256, spec.shape, np.uint8)
            if spec.dtype == np.uint8
            else rng.uniform(0, 1, spec.shape).astype(np.float32)
            for name, spec in inputs.items()
            if name not in read_spec(GRAPH).recurrent
        }
        for _ in range(5)
    ]
    return made.Subject(Path(), Path(), SIZE, GRAPH, frames)


@pytest.fixture
def card(made: ModuleType, monkeypatch: pytest.MonkeyPatch) -> devices.Cuda:
    """A card in software, for which every engine that is asked for is there."""
    cuda = devices.Cuda()

    def engine_of(_: str, graph: bytes, size: Any, batch: int = 1, precision: str = "") -> Any:
        return devices.engine(cuda, graph, size, batch, runtime=Cuda(cuda, devices.DEVICE))

    monkeypatch.setattr(made, "engine_of", engine_of)
    return cuda


def on_the_cpu(gpu: ModuleType, made: ModuleType, subject: Any) -> Any:
    engine = ONNXRuntimeBackend().load(subject.graph, size=SIZE, options=devices.FP32)
    return gpu.restyled(made.Engined(engine, resident=False), subject.frames)


def check_same(found: Any, wanted: Any) -> None:
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])


@pytest.mark.parametrize("graphs_wanted", [True, False])
def test_an_engine_whose_tensors_stay_on_the_card(
    gpu: ModuleType, made: ModuleType, tiny: Any, card: devices.Cuda, graphs_wanted: bool
) -> None:
    runner = made.one(tiny, "tensorrt", graphs=graphs_wanted)
    check_same(gpu.restyled(runner, tiny.frames), on_the_cpu(gpu, made, tiny))
    assert bool(card.launches) is graphs_wanted
    card.moved = dict.fromkeys(card.moved, 0)
    runner.step()
    assert not any(card.moved.values())


def test_pictures_from_the_host_and_a_past_on_the_card(
    gpu: ModuleType, made: ModuleType, tiny: Any, card: devices.Cuda
) -> None:
    runner = made.one(tiny, "tensorrt", resident=False)
    check_same(gpu.restyled(runner, tiny.frames), on_the_cpu(gpu, made, tiny))
    card.moved = dict.fromkeys(card.moved, 0)
    runner.step()
    assert card.moved[2] == SIZE[0] * SIZE[1] * 3 // 2  # the pictures alone come back


def test_streams_in_one_batch(
    gpu: ModuleType, made: ModuleType, tiny: Any, card: devices.Cuda
) -> None:
    runner = made.several(tiny, "tensorrt", batched=True)
    assert runner.frames == made.STREAMS
    check_same(gpu.restyled(runner, tiny.frames), on_the_cpu(gpu, made, tiny))


@pytest.mark.parametrize("batched", [True, False])
def test_streams_by_onnx_runtime(
    gpu: ModuleType, made: ModuleType, tiny: Any, batched: bool
) -> None:
    runner = made.several(tiny, "onnxruntime", batched, resident=False, precision="fp32")
    check_same(gpu.restyled(runner, tiny.frames), on_the_cpu(gpu, made, tiny))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny tensors wait longer for other threads than they take, where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("precision", "least", "most"), [("fp32", 0.0, 1e-5), ("fp16", 1e-5, 1e-2)]
)
def test_pytorch_restyles_as_the_graph_does(
    gpu: ModuleType,
    made: ModuleType,
    subject: Any,
    one_thread: None,
    precision: str,
    least: float,
    most: float,
) -> None:
    runner = made.Torched(subject, device="cpu", precision=precision)
    found = gpu.restyled(runner, subject.frames)
    assert found.keys() == subject.wanted.keys()
    error, levels, _ = gpu.compare(found, subject.wanted)
    assert least <= error < most
    assert levels < 0.5
    # What hangs on constants alone has been computed: no frame casts a weight again.
    for node in runner._function.graph.nodes:
        reads = {given.op for given in node.all_input_nodes}
        assert node.op != "call_function" or reads - {"get_attr"}


def test_all_of_pytorchs_constants_move_to_the_device(made: ModuleType, subject: Any) -> None:
    runner = made.Torched(subject, device="meta")
    runner.put(subject.frames[0])
    runner.step()
    runner.step()
    assert {result.device.type for result in runner._results} == {"meta"}


def test_a_contender_is_right_or_does_not_count(
    gpu: ModuleType, made: ModuleType, subject: Any, reference: Any
) -> None:
    row = gpu.qualify(reference, subject)
    assert row.near == (0.0, 0.0, 0.0)
    assert row.ready > 0
    dark = {name: np.full_like(array, 1) for name, array in subject.wanted.items()}
    with pytest.raises(EngineError, match=r"pictures are wrong: \d+\.\d grey levels"):
        gpu.qualify(reference, replace(subject, wanted=dark))


def test_each_in_its_process_and_then_by_turns(
    gpu: ModuleType, subject: Any, reference: Any
) -> None:
    unknown = replace(reference, name="other", make=partial(reference.make, backend="no-such"))
    absent = replace(reference, name="absent", library="theirs")
    lacking = {"onnxruntime": "", "theirs": "theirs is not installed"}
    rows, reasons = gpu.measure([unknown, absent, reference], subject, 1, lacking)
    (row,) = rows
    assert row.name == reference.name
    assert row.samples
    assert min(row.samples) > 0
    assert reasons["absent"] == "theirs is not installed"
    assert "there is no back end 'no-such'" in reasons["other"]


@pytest.mark.parametrize(
    ("function", "argument", "message"),
    [
        (os._exit, 3, "crashed"),
        (int, "what", "invalid literal for int"),
        (time.sleep, 60, "took over 0 seconds"),
    ],
)
def test_what_goes_wrong_apart_is_one_sentence(
    gpu: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[[Any], Any],
    argument: Any,
    message: str,
) -> None:
    if function is time.sleep:
        monkeypatch.setattr(gpu, "LIMIT", 0.2)
    with pytest.raises(EngineError, match=message):
        gpu.apart(function, argument)
    assert gpu.apart(abs, -3) == 3 or function is time.sleep


class Steps:
    """A runner that only counts; it fails at the step that is named."""

    frames = 2

    def __init__(self, log: list[str], name: str, fails_at: int = 0) -> None:
        self.log, self.name, self.fails_at = log, name, fails_at
        self.steps = 0

    def put(self, frame: Any) -> None: ...

    def step(self) -> None:
        self.steps += 1
        self.log.append(self.name)
        if self.steps == self.fails_at:
            raise RuntimeError("out of memory")

    def read(self) -> dict[str, Any]:
        return {}


def entrants(made: ModuleType, log: list[str], **fails_at: int) -> list[Any]:
    return [
        made.Contender(name, "any", lambda _, name=name, at=at: Steps(log, name, at))
        for name, at in fails_at.items()
    ]


def one_step(runner: Steps) -> list[float]:
    runner.step()
    return [float(runner.steps)]


def test_a_race_goes_by_turns_and_outlives_who_fails(
    gpu: ModuleType, made: ModuleType, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "turn", one_step)
    log: list[str] = []
    made_ready = len(tiny.frames)
    field = entrants(made, log, a=0, b=made_ready + 2, c=1, d=0)
    samples = gpu.race(field, tiny, rounds=3)
    assert samples.keys() == {"a", "d"}
    assert [len(each) for each in samples.values()] == [3, 3]
    assert log[-8:] == ["a", "b", "d", "a", "b", "d", "a", "d"]


def test_who_falls_with_the_others_runs_alone(
    gpu: ModuleType, made: ModuleType, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apart(function: Any, *arguments: Any) -> Any:
        if function is gpu.qualify:
            return gpu.Row(arguments[0].name, 1.0, None, (0.0, 0.0, 0.0))
        names = [each.name for each in arguments[0]]
        if names != ["a"]:
            raise EngineError("its process crashed")
        return {"a": [5.0]}

    monkeypatch.setattr(gpu, "apart", apart)
    rows, reasons = gpu.measure(entrants(made, [], a=0, b=0), tiny, 1, {"any": ""})
    assert [(row.name, row.samples) for row in rows] == [("a", [5.0])]
    assert reasons == {"b": "it fails when it runs again"}


@pytest.mark.parametrize(
    ("seconds", "steps", "counted"), [(0.25, 3, 2), (0.0625, 10, 8), (4.0, 2, 1)]
)
def test_a_turn_counts_what_begins_after_the_warm_up(
    gpu: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    steps: int,
    counted: int,
) -> None:
    log: list[str] = []
    monkeypatch.setattr(gpu, "perf_counter", lambda: len(log) * seconds)
    samples = gpu.turn(Steps(log, "a"))
    assert len(log) == steps
    assert samples == [seconds * 1000 / Steps.frames] * counted


def test_how_near_pictures_come(gpu: ModuleType) -> None:
    wanted = {"y_out": np.full((1, 1, 2, 2), 100, np.uint8)}
    found = {"y_out": np.array([[[[100, 100], [100, 90]]]], np.uint8)}
    assert gpu.compare(found, wanted) == pytest.approx((0.05, 2.5, 10.0))
    assert gpu.compare(found, found) == (0.0, 0.0, 0.0)
    # The unrounded past says more than the planes, where both have it.
    exact = {"past_y_out": np.full((1, 1, 2, 2), 100.0, np.float32)}
    near = {"past_y_out": np.full((1, 1, 2, 2), 100.5, np.float32)}
    assert gpu.compare(wanted | near, wanted | exact) == pytest.approx((0.005, 0.0, 0.0))
    assert gpu.compare(found, wanted | exact)[0] == pytest.approx(0.05)


def test_the_table_is_markdown(gpu: ModuleType) -> None:
    samples = [4.0] * 18 + [5.0, 6.0]
    rows = [
        gpu.Row("a", 1.25, 512, (1.5e-3, 0.25, 3.0), samples),
        gpu.Row("b", 2.0, None, (0.0, 0.0, 0.0), [0.5]),
    ]
    head, line, first, second = gpu.table("small, 720p", rows)
    assert head.startswith("| small, 720p | ready after | ms p50 |")
    assert head.count("|") == line.count("|") == first.count("|") == second.count("|")
    assert first == "| a | 1.2 s | 4.000 | 5.050 | 250.0 | 512 MiB | 1.5e-03 | 0.25, at most 3 |"
    assert "| 2000.0 | not known |" in second


def test_files_are_whole_and_their_pictures_read(made: ModuleType, subject: Any) -> None:
    def copied(count: int) -> Callable[[Path], int]:
        return lambda target: (shutil.copy(subject.clip, target), count)[1]

    runner = made.Files(copied(CLIP))
    runner.step()
    for name, plane in runner.read().items():
        np.testing.assert_array_equal(plane, subject.frames[-1][name.removesuffix("_out")])
    with pytest.raises(StreamFXError, match=f"3 of {CLIP} frames"):
        made.Files(copied(3)).step()


def test_a_file_by_the_cpu_comes_near_the_graph(
    gpu: ModuleType, made: ModuleType, subject: Any
) -> None:
    runner = made.files(subject, "onnxruntime", stays=False, precision="fp32")
    found = gpu.restyled(runner, subject.frames[:1])
    assert gpu.compare(found, subject.wanted)[1] < made.WRONG_ENCODED


def test_a_file_whose_frames_leave_the_card_does_not_count(
    made: ModuleType, subject: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = SimpleNamespace(nvdec=None, nvenc=None)
    monkeypatch.setattr(made, "probe", lambda *_: nothing)
    runner = made.files(subject, "onnxruntime", stays=True, precision="fp32")
    with pytest.raises(StreamFXError, match="cannot stay on the GPU, and the CPU begins anew"):
        runner.step()


def test_the_frames_go_on_from_each_other(subject: Any) -> None:
    assert len(subject.frames) == 3
    assert not subject.frames[0]["trust"].any()
    assert subject.frames[2]["trust"].any()
    assert subject.frames[2]["motion"].any()


def test_every_contender_can_go_to_a_process(made: ModuleType) -> None:
    groups = made.contenders()
    names = [each.name for group in groups for each in group]
    assert len(set(names)) == len(names)
    for library, words in (
        ("tensorrt", ("CUDA graph", "no CUDA graph", "4 streams batched", "NVDEC to NVENC")),
        ("tensorrt-rtx", ("CUDA graph", "no CUDA graph", "4 streams batched", "NVDEC to NVENC")),
        ("onnxruntime-cuda", ("pictures from the host", "4 streams batched")),
        ("pytorch", ("eager", "compiled", "CUDA graph")),
    ):
        assert {f"{library}, {word}" for word in words} <= set(names)
    assert [each.name for each in pickle.loads(pickle.dumps(groups))[2]] == names[-5:]


def test_a_report_of_a_network_that_nobody_trained(
    gpu: ModuleType,
    subject: Any,
    reference: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def no_torch(_: Path) -> Any:
        raise ImportError("No module named 'torch'")

    monkeypatch.setattr(gpu, "contenders", lambda: [[reference]])
    monkeypatch.setattr(gpu, "apart", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(gpu, "turn", lambda _: [1.0])
    networks = {"large (untrained)": gpu.untrained, "absent": no_torch}
    measured = gpu.report(networks, {"tiny": SIZE}, 2, {"onnxruntime": ""}, subject.clip.parent)
    said = capsys.readouterr().out
    assert measured == 1
    assert "- the card then:" in said
    assert "| large (untrained), tiny, fp16 | ready after |" in said
    assert "| on the CPU | " in said
    assert "- absent, tiny, fp16: not measured: No module named 'torch'" in said
    assert Pack.open(subject.pack).manifest.network.width == "large"


def test_the_shipped_pack_is_a_subject(
    gpu: ModuleType, made: ModuleType, reference: Any, tmp_path: Path
) -> None:
    shipped = gpu.subject_of(find_pack("default"), (34, 50), tmp_path)
    assert gpu.qualify(reference, shipped).near == (0.0, 0.0, 0.0)
    restyled, plain = shipped.wanted["y_out"], shipped.frames[-1]["y"]
    assert np.abs(restyled.astype(int) - plain).mean() > 2


def test_without_a_card_it_says_so(
    gpu: ModuleType,
    made: ModuleType,
    subject: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = find_gpu()
    if not isinstance(found, Unavailable):
        pytest.skip(f"there is a card: {found.name}")
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert str(ended.value.code).startswith("gpu: nothing can be measured here")
    assert found.reason in str(ended.value.code)
    said = capsys.readouterr().out
    for each in (each for group in made.contenders() for each in group):
        assert f"- {each.name}: " in said
    with pytest.raises(EngineError, match=found.reason):
        made.files(subject, "tensorrt", stays=True)
