"""Every back end that works here gives what the graph says, and refuses what it must."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import graphs
from streamfx import engines
from streamfx.engines.base import Array
from streamfx.engines.contract import GraphSpec
from streamfx.engines.graph import read_spec
from streamfx.engines.onnxruntime import create_session

SIZE = (34, 50)
FP32 = engines.EngineOptions(precision="fp32")
GRAPH = graphs.generator().SerializeToString()
NAMES = ["openvino", "onnxruntime"]


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest) -> Iterator[engines.Engine]:
    engine = engines.load(GRAPH, SIZE, backend=request.param, options=FP32)
    yield engine
    engine.close()


def random_inputs(engine: engines.Engine, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    inputs: dict[str, Array] = {}
    for name, spec in engine.inputs.items():
        if spec.dtype == np.uint8:
            inputs[name] = rng.integers(0, 256, spec.shape, dtype=np.uint8)
        else:
            inputs[name] = rng.uniform(0, 1, spec.shape).astype(np.float32)
    return inputs


def empty_outputs(engine: engines.Engine) -> dict[str, Array]:
    return {name: np.full(spec.shape, 7, spec.dtype) for name, spec in engine.outputs.items()}


def expected(inputs: dict[str, Array], spec: GraphSpec = graphs.SPEC) -> dict[str, Array]:
    """What the graph of tests/graphs.py computes, in numpy."""
    y, state = inputs["y"], inputs["state"]
    height, width = y.shape[2:]
    h, w = state.shape[2:]
    m = spec.margin
    far = ((m, h * 8 - height - m), (m, w * 8 - width - m))
    padded = np.pad(y.astype(np.float32), ((0, 0), (0, 0), *far), mode="edge")
    blocks = padded.reshape(y.shape[0], 1, h, 8, w, 8).mean((3, 5))
    enlarged = state[:, :1].repeat(8, 2).repeat(8, 3)[:, :, m : m + height, m : m + width]
    style = inputs["style"][:, :, None, None] * graphs.STYLE_GAIN
    amount = inputs["strength"][:, :, None, None]

    def plane(name: str, change: Array) -> Array:
        return np.asarray(np.clip(np.round(inputs[name] + change * amount), 0, 255))

    return {
        "y_out": plane("y", style[:, 0:1] + enlarged * graphs.STATE_GAIN),
        "u_out": plane("u", style[:, 1:2]),
        "v_out": plane("v", style[:, 2:3]),
        "state_out": (state + blocks / 255) / 2,
    }


def assert_matches(outputs: dict[str, Array], wanted: dict[str, Array]) -> None:
    for name in ("y_out", "u_out", "v_out"):  # a sum that lies on .5 may round either way
        np.testing.assert_allclose(outputs[name].astype(float), wanted[name], atol=1, rtol=0)
        assert np.mean(outputs[name] != wanted[name]) < 0.01
    np.testing.assert_allclose(outputs["state_out"], wanted["state_out"], atol=1e-5)


def test_outputs_are_the_graphs(engine: engines.Engine) -> None:
    for seed in range(30):  # more arrays than an engine keeps wrappers for
        inputs, outputs = random_inputs(engine, seed), empty_outputs(engine)
        engine.run(inputs, outputs)
        assert_matches(outputs, expected(inputs))
        del inputs, outputs
        gc.collect()


def test_arrays_are_bound_and_may_change(engine: engines.Engine) -> None:
    inputs, outputs = random_inputs(engine), empty_outputs(engine)
    for step in range(3):
        inputs["y"][...] = 40 * step
        engine.run(inputs, outputs)
        assert_matches(outputs, expected(inputs))


def test_state_goes_back_and_forth(engine: engines.Engine) -> None:
    inputs, outputs = random_inputs(engine), empty_outputs(engine)
    for _ in range(4):
        wanted = expected(inputs)
        engine.run(inputs, outputs)
        assert_matches(outputs, wanted)
        inputs["state"], outputs["state_out"] = outputs["state_out"], inputs["state"]


def test_read_only_inputs_are_taken(engine: engines.Engine) -> None:
    inputs, outputs = random_inputs(engine), empty_outputs(engine)
    luma = inputs["y"]
    inputs["y"] = luma.view()
    inputs["y"].flags.writeable = False
    for value in (10, 90):
        luma[...] = value
        engine.run(inputs, outputs)
        assert_matches(outputs, expected(inputs))


@pytest.mark.parametrize("backend", NAMES)
def test_batch_and_motion(backend: str) -> None:
    spec = GraphSpec(style_size=3, state_channels=1, margin=0, stride=8, motion=True)
    graph = graphs.generator(spec).SerializeToString()
    assert read_spec(graph) == spec
    engine = engines.load(graph, (16, 24), backend=backend, batch=2, options=FP32)
    inputs, outputs = random_inputs(engine), empty_outputs(engine)
    engine.run(inputs, outputs)
    wanted = expected(inputs, spec)
    mean = inputs["motion"].mean((1, 2, 3), keepdims=True)
    assert_matches(outputs, wanted | {"state_out": wanted["state_out"] + mean})
    np.testing.assert_allclose(outputs["past_y_out"], inputs["past_y"] + inputs["y"], atol=1e-4)
    np.testing.assert_allclose(outputs["past_c_out"], inputs["past_c"] + inputs["trust"], atol=1e-5)


def test_wrong_tensors_are_named(engine: engines.Engine) -> None:
    inputs, outputs = random_inputs(engine), empty_outputs(engine)
    wide = np.zeros((*engine.inputs["y"].shape[:3], 100), np.uint8)[..., ::2]
    fixed = outputs["y_out"].copy()
    fixed.flags.writeable = False
    for change, message in (
        ({"y": inputs["y"][..., :-2].copy()}, r"y must be uint8 \[1, 1, 34, 50\]"),
        ({"style": inputs["style"].astype(np.float64)}, "style must be float32"),
        ({"y": wide}, "y must be C-contiguous"),
        ({"motion": inputs["state"]}, "missing or unknown: motion"),
    ):
        with pytest.raises(engines.EngineError, match=message):
            engine.run({**inputs, **change}, outputs)
    with pytest.raises(engines.EngineError, match="y_out is an output and must be writable"):
        engine.run(inputs, {**outputs, "y_out": fixed})
    del inputs["state"]
    with pytest.raises(engines.EngineError, match="missing or unknown: state"):
        engine.run(inputs, outputs)


def test_closed_engine_refuses(engine: engines.Engine) -> None:
    engine.close()
    engine.close()
    with pytest.raises(engines.EngineError, match="closed"):
        engine.run(random_inputs(engine), empty_outputs(engine))


def test_auto_takes_the_first_available_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engines.load(GRAPH, SIZE).info.backend == "openvino"
    monkeypatch.setitem(sys.modules, "openvino", None)
    info = engines.load(GRAPH, SIZE).info
    assert (info.backend, info.precision) == ("onnxruntime", "fp32")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(engines.EngineError, match=r"openvino: .*onnxruntime: .*pip install"):
        engines.load(GRAPH, SIZE)


@pytest.mark.parametrize("name", NAMES)
def test_named_backend_is_never_replaced(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(engines.EngineError, match=f"{name} cannot be imported.*pip install {name}"):
        engines.load(GRAPH, SIZE, backend=name)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_another_provider_never_stands_in() -> None:
    """ONNX Runtime would take the CPU where it has not the provider that was asked for."""
    import onnxruntime

    if "DmlExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("DirectML is here")
    with pytest.raises(engines.EngineError, match=r"took CPU.* where Dml.* was asked for"):
        create_session(GRAPH, 1, "DmlExecutionProvider")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("onnxruntime-cuda", "has no CUDAExecutionProvider"),
        ("openvino-gpu", "finds no GPU device"),
        ("openvino-npu", "finds no NPU device"),
        ("tensorrt", "NVIDIA|TensorRT"),
        ("tensorrt-rtx", "NVIDIA|TensorRT"),
    ],
)
def test_what_this_machine_lacks_is_said_with_its_fix(name: str, reason: str) -> None:
    (backend,) = (each for each in engines.backends() if each.name == name)
    if isinstance(backend.probe(), engines.Available):
        pytest.skip(f"{name} is here")
    with pytest.raises(engines.EngineError, match=f"{reason}.*; try: .+"):
        engines.load(GRAPH, SIZE, backend=name)


def test_precisions_of_other_openvino_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU stands in for a GPU, which is given fp16 by default and no CPU settings."""
    from streamfx.engines import openvino

    monkeypatch.setitem(openvino._PRECISIONS, "CPU", openvino._PRECISIONS["GPU"])
    found = openvino.OpenVINOBackend("CPU").probe()
    assert isinstance(found, engines.Available)
    assert found.precisions[-1] == "fp32"
    with pytest.raises(engines.EngineError, match="does not list bf16"):
        engines.load(
            GRAPH, SIZE, backend="openvino", options=engines.EngineOptions(precision="bf16")
        )


def test_unknown_backend_names_the_known() -> None:
    with pytest.raises(engines.EngineError, match="no back end 'cuda'; use auto, tensorrt-rtx, "):
        engines.load(GRAPH, SIZE, backend="cuda")


@pytest.mark.parametrize("name", NAMES)
def test_precision_is_kept_or_refused(name: str) -> None:
    backend = engines.choose(name)
    found = backend.probe()
    assert isinstance(found, engines.Available)
    default = backend.load(GRAPH, size=SIZE, options=engines.EngineOptions())
    assert default.info.precision == found.precisions[0]
    bf16 = engines.EngineOptions(precision="bf16")
    if "bf16" in found.precisions:
        assert backend.load(GRAPH, size=SIZE, options=bf16).info.precision == "bf16"
    else:
        with pytest.raises(engines.EngineError, match="fp32"):
            backend.load(GRAPH, size=SIZE, options=bf16)


def test_bf16_is_refused_where_the_cpu_does_not_list_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamfx.engines.openvino import OpenVINOBackend

    plain = engines.Available(version="1", device="an old CPU", precisions=("fp32",))
    monkeypatch.setattr(OpenVINOBackend, "probe", lambda _: plain)
    with pytest.raises(engines.EngineError, match="openvino on an old CPU does not list bf16"):
        engines.load(GRAPH, SIZE, options=engines.EngineOptions(precision="bf16"))
    assert engines.load(GRAPH, SIZE).info.precision == "fp32"


def test_threads(engine: engines.Engine) -> None:
    name = engine.info.backend
    one = engines.load(GRAPH, SIZE, backend=name, options=engines.EngineOptions(threads=1))
    assert one.info.threads == 1
    assert engine.info.threads >= 1
    with pytest.raises(engines.EngineError, match="at least 1 thread"):
        engines.load(GRAPH, SIZE, backend=name, options=engines.EngineOptions(threads=0))


@pytest.mark.parametrize("size", [(33, 50), (34, 0), (-2, 50)])
def test_impossible_sizes(size: tuple[int, int]) -> None:
    with pytest.raises(engines.EngineError, match="even"):
        engines.load(GRAPH, size)


def broken(kind: str) -> bytes:
    model = graphs.generator()
    graph = model.graph
    if kind == "metadata":
        del model.metadata_props[:]
    elif kind == "input":
        del graph.input[5]  # state
    elif kind == "input type":
        graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    elif kind == "output":
        del graph.output[2]  # v_out
    elif kind == "extra input":
        graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    elif kind == "size":
        graph.input[0].type.tensor_type.shape.dim[2].dim_value = 720
    elif kind == "style size":
        graph.input[3].type.tensor_type.shape.dim[1].dim_value = 5
    elif kind == "operator":
        graph.node[0].op_type = "NoSuchOperator"
    elif kind == "shape":
        scales = next(t for t in graph.initializer if t.name == "margins")
        scales.CopyFrom(onnx.numpy_helper.from_array(np.array([0, 0, 8, 24]), "margins"))
    elif kind == "external data":
        onnx.external_data_helper.set_external_data(graph.initializer[0], "/etc/hostname")
    elif kind == "nested external data":
        inner = graphs.generator().graph
        onnx.external_data_helper.set_external_data(inner.initializer[0], "../weights")
        graph.node.append(helper.make_node("If", ["y"], ["z"], then_branch=inner))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("metadata", "not a StreamFX generator graph.*style_size"),
        ("input", "lacks the input state"),
        ("input type", "input y must be uint8"),
        ("output", "lacks the output v_out"),
        ("extra input", "'mask', which this version does not know"),
        ("size", r"declares y as \[0, 1, 720, 0\]"),
        ("style size", r"declares style as \[0, 5\]"),
        ("operator", "cannot (compile|load) the graph"),
        ("shape", "OpenVINO|output|ONNX Runtime"),
        ("external data", "data in other files"),
        ("nested external data", "data in other files"),
    ],
)
def test_broken_graphs(kind: str, message: str, backend: str) -> None:
    with pytest.raises(engines.EngineError, match=message) as caught:
        engines.load(broken(kind), SIZE, backend=backend)
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
@example(GRAPH[: len(GRAPH) // 2])
def test_garbage_is_an_engine_error(garbage: bytes) -> None:
    with pytest.raises(engines.EngineError):
        engines.load(garbage, SIZE)


def test_nothing_reports_to_anybody() -> None:
    """OpenVINO's model converter brings a telemetry client that does not ask."""
    code = (
        "import sys; from streamfx import engines; engines.choose('openvino').probe();"
        "print('openvino' in sys.modules, 'openvino_telemetry' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", "False"], found.stderr
