"""benchmarks/cpu.py makes every variant, and each restyles as the default does."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

import graphs
import packs
from streamfx.engines.base import Array
from streamfx.engines.errors import EngineError
from streamfx.engines.graph import Specs, freeze, read_graph, tensor_specs
from streamfx.engines.onnxruntime import create_session
from streamfx.engines.openvino import compile_model, read_model
from streamfx.engines.tuning import plausible_inputs
from streamfx.styles import find_pack

FILE = Path(__file__).parents[2] / "benchmarks" / "cpu.py"
GRAPH = graphs.generator().SerializeToString()
SIZE = (34, 50)
Run = Callable[[onnx.ModelProto, dict[str, Array], Specs], dict[str, Array]]
PLANES = ("y_out", "u_out", "v_out")


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("cpu_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look themselves up
    monkeypatch.setitem(sys.modules, "nncf", None)
    spec.loader.exec_module(module)
    return module


def test_every_variant_runs_the_same_frames(cpu: ModuleType, tmp_path: Path) -> None:
    subject = cpu.Subject(str(packs.tiny_pack(tmp_path).path), None, (48, 64))
    runners, missing = cpu.measure(subject, rounds=1)
    assert list(missing) == ["int8"]
    assert "nncf" in missing["int8"]
    assert {"dynamic shape", "casts by PrePostProcessor", "style baked"} <= runners.keys()
    default = runners["default"].first
    for name, runner in runners.items():
        assert len(runner.samples) == cpu.FRAMES - cpu.WARM_UP, name
        assert np.abs(runner.first - default).max() <= 1, name
    lines = list(cpu.table(runners))
    assert len(lines) == len(runners) + 2
    assert lines[3].startswith("| fp32 |")
    assert lines[3].endswith("| the same |")


def tensors(inputs: Specs, code: Array, strength: float) -> dict[str, Array]:
    found = plausible_inputs(inputs)
    return found | {"style": code[None], "strength": np.full((1, 1), strength, np.float32)}


def by_onnxruntime(
    model: onnx.ModelProto, given: dict[str, Array], specs: Specs
) -> dict[str, Array]:
    session = create_session(freeze(model, specs).SerializeToString(), 1)
    names = [each.name for each in session.get_outputs()]
    taken = {each.name: given[each.name] for each in session.get_inputs()}
    return dict(zip(names, session.run(names, taken), strict=True))


def by_openvino(model: onnx.ModelProto, given: dict[str, Array], specs: Specs) -> dict[str, Array]:
    frozen = read_model(freeze(model, specs).SerializeToString())
    request = compile_model(frozen, "CPU", "fp32", 1, {}).create_infer_request()
    request.infer({port.any_name: given[port.any_name] for port in request.model_inputs})
    names = [name for port in request.model_outputs for name in port.names if "_out" in name]
    return {name: np.array(request.get_tensor(name).data) for name in names}


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("run", [by_onnxruntime, by_openvino])
def test_the_small_graph_bit_for_bit(cpu: ModuleType, run: Run, strength: float) -> None:
    model, spec = read_graph(GRAPH)
    specs, outputs = tensor_specs(spec, SIZE, 1)
    code = np.array([0.5, -0.25, 0.75, 9], np.float32)
    given = tensors(specs, code, strength)
    baked = cpu.bake(GRAPH, code, strength)
    wanted, found = run(model, given, specs), run(baked, given, specs)
    assert found.keys() == wanted.keys() == outputs.keys()
    for name in outputs:
        np.testing.assert_array_equal(found[name], wanted[name])


@pytest.mark.parametrize("run", [by_onnxruntime, by_openvino])
def test_the_shipped_graph_within_a_level(cpu: ModuleType, run: Run) -> None:
    """The back ends multiply scales into weights, which rounds otherwise."""
    pack = find_pack("default")
    model, spec = read_graph(pack.generator)
    specs, _ = tensor_specs(spec, SIZE, 1)
    code = np.asarray(pack.styles[0].code, np.float32)
    given = tensors(specs, code, 0.8)
    wanted = run(model, given, specs)
    found = run(cpu.bake(pack.generator, code, 0.8), given, specs)
    for name in PLANES:
        levels = np.abs(found[name].astype(int) - wanted[name].astype(int))
        assert levels.max() <= 1
        assert np.mean(levels > 0) < 0.001
    other = run(cpu.bake(pack.generator, -code, 0.8), given, specs)
    assert np.abs(other["y_out"].astype(int) - wanted["y_out"].astype(int)).max() > 1


def test_nothing_is_left_of_what_is_fixed(cpu: ModuleType) -> None:
    baked = cpu.bake(GRAPH, np.ones(4, np.float32), 1.0)
    onnx.checker.check_model(baked)
    assert not {value.name for value in baked.graph.input} & set(cpu.FIXED)
    assert not {tensor.name for tensor in baked.graph.initializer} & set(cpu.FIXED)
    assert len(baked.graph.node) < len(read_graph(GRAPH)[0].graph.node)


def test_what_cannot_be_baked_is_said(cpu: ModuleType) -> None:
    with pytest.raises(EngineError, match=r"has 4 numbers, not \[3\]"):
        cpu.bake(GRAPH, np.ones(3, np.float32), 1.0)
    with pytest.raises(EngineError, match="not an ONNX graph"):
        cpu.bake(b"what", np.ones(4, np.float32), 1.0)
