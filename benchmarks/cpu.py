"""What each choice is worth on a CPU: shapes, casts, threads, pinning, back end, precision, int8.

Every variant runs the same frames of the demo scene, its own past carried on, in turns with the
others, so that whatever else the machine does hits them alike. Printed for each: milliseconds for
a frame, what that gains against the default, and how near its first frame comes to fp32's. int8
takes part where the package nncf is installed.

    python benchmarks/cpu.py
    python benchmarks/cpu.py --size 640x360 --rounds 4
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import Message
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from streamfx import machine
from streamfx.color import frame_from_rgb
from streamfx.demo import RATE, draw
from streamfx.engines import Available, Engine, EngineError, EngineInfo, EngineOptions, graph
from streamfx.engines.onnxruntime import ONNXRuntimeBackend, create_session
from streamfx.engines.openvino import (
    OpenVINOBackend,
    OpenVINOEngine,
    Placement,
    compile_model,
    read_model,
)
from streamfx.engines.tuning import plausible_inputs
from streamfx.errors import StreamFXError
from streamfx.expressions import parse_expression, resolve
from streamfx.frames import Frame
from streamfx.styles import find_pack

Tensors = dict[str, NDArray[Any]]

FRAMES = 10  # of a turn
WARM_UP = 2  # of them are not counted: the caches hold another's tensors
PLANES = ("y", "u", "v")
FIXED = ("style", "strength")  # what the variant with the style baked in does not read
LIBRARIES = ("openvino", "onnxruntime", "nncf")


class Subject:
    """One network at one frame size, and what its variants are made of.

    Args:
        pack: its name or file; `style`: an expression, None = its first.
    """

    def __init__(self, pack: str, style: str | None, size: tuple[int, int]) -> None:
        opened = find_pack(pack)
        self.graph = opened.generator
        self.code = resolve(parse_expression(style or opened.styles[0].name), opened)
        self.size = size
        self.model, spec = graph.read_graph(self.graph)
        self.recurrent = spec.recurrent
        self.inputs, self.outputs = graph.tensor_specs(spec, size, batch=1)
        found = OpenVINOBackend().probe()
        if not isinstance(found, Available):
            raise EngineError(f"{found.reason}; try: {found.fix}")
        self.found = found
        self.threads = EngineOptions().thread_count()
        height, width = size
        frames = (draw(i / RATE, width, height, coarse=4) for i in range(FRAMES))
        self.frames = [_planes(frame_from_rgb(frame)) for frame in frames]

    def start(self) -> Tensors:
        """What goes in beside the planes of the first frame: the style, and no past."""
        tensors = plausible_inputs(self.inputs)
        tensors |= {"style": self.code[None], "strength": np.ones((1, 1), np.float32)}
        for name in self.recurrent:
            tensors[name].fill(0)
        if "trust" in tensors:
            tensors["trust"].fill(0.5)
        return tensors

    def openvino(
        self,
        model: Any = None,
        *,
        precision: str = "",
        threads: int = 0,
        without: tuple[str, ...] = (),
        **properties: Any,
    ) -> Engine:
        """An engine of an `openvino.Model`; where nothing is given, as `streamfx` runs it."""
        precision, threads = precision or self.found.precisions[0], threads or self.threads
        compiled = compile_model(model or self.frozen(), "CPU", precision, threads, properties)
        info = EngineInfo("openvino", self.found.device, precision, threads, self.found.version)
        inputs = {name: spec for name, spec in self.inputs.items() if name not in without}
        return OpenVINOEngine(info, inputs, self.outputs, compiled.create_infer_request())

    def frozen(self, model: onnx.ModelProto | None = None) -> Any:
        """The model at the frame's size, in OpenVINO."""
        return read_model(graph.freeze(model or self.model, self.inputs).SerializeToString())

    def onnxruntime(self) -> Engine:
        options = EngineOptions("fp32")
        return ONNXRuntimeBackend().load(self.graph, size=self.size, options=options)

    def preprocessed(self) -> Any:
        """The model with float planes, which OpenVINO's PrePostProcessor converts."""
        from openvino import Type
        from openvino.preprocess import PrePostProcessor

        turned = onnx.ModelProto()
        turned.CopyFrom(self.model)
        outputs = [f"{name}_out" for name in PLANES]
        for value in (*turned.graph.input, *turned.graph.output):
            if value.name in (*PLANES, *outputs):
                value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        for node in turned.graph.node:
            if node.op_type == "Cast" and node.output[0] in outputs:
                node.attribute[0].i = onnx.TensorProto.FLOAT
        steps = PrePostProcessor(self.frozen(turned))
        for name in PLANES:
            steps.input(name).tensor().set_element_type(Type.u8)
            steps.output(f"{name}_out").tensor().set_element_type(Type.u8)
        return steps.build()

    def quantized(self) -> Any:
        """The model with int8 convolutions, fitted on the frames."""
        # Without it nncf cannot report to its maker, which it does without asking.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import nncf  # type: ignore[import-not-found,unused-ignore]

        samples = [self.start() | planes for planes in self.frames]
        return nncf.quantize(
            self.frozen(),
            nncf.Dataset(samples),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(samples),
        )

    def variants(self) -> Iterator[tuple[str, Callable[[], Engine]]]:
        """Name and maker of each."""
        yield "default", self.openvino
        yield "fp32", lambda: self.openvino(precision="fp32")
        yield "ONNX Runtime, fp32", self.onnxruntime
        yield "dynamic shape", lambda: self.openvino(read_model(self.graph))
        yield "casts by PrePostProcessor", lambda: self.openvino(self.preprocessed())
        for threads in range(1, self.threads):
            if threads in (1, self.threads // 2):
                yield f"{threads} thread", lambda n=threads: self.openvino(threads=n)  # type: ignore[misc]
        settings = {
            "pinned": Placement(pinning=True).properties(),
            "not pinned": Placement(pinning=False).properties(),
            "TBB partitioner static": {"TBB_PARTITIONER": "STATIC"},
            "TBB partitioner auto": {"TBB_PARTITIONER": "AUTO"},
        }
        for name, given in settings.items():
            yield name, lambda given=given: self.openvino(**given)  # type: ignore[misc]
        yield "style baked", lambda: self.openvino(self.baked(), without=FIXED)
        yield "int8", lambda: self.openvino(self.quantized())

    def baked(self) -> Any:
        return self.frozen(bake(self.graph, self.code, 1.0))


@dataclass
class Runner:
    """An engine on its way through the frames.

    Attributes:
        samples: milliseconds of the runs that count.
        first: the restyled planes of the first frame, end to end.
    """

    subject: Subject
    engine: Engine
    samples: list[float] = field(default_factory=list)
    first: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        specs = self.engine.outputs
        # Two sets, so that a frame's past can be read while the next one's is written.
        self._rooms = [
            {name: np.empty(spec.shape, spec.dtype) for name, spec in specs.items()}
            for _ in range(2)
        ]

    def turn(self) -> None:
        """All frames once."""
        tensors = self.subject.start()
        for index, planes in enumerate(self.subject.frames):
            tensors |= planes
            given = {name: tensors[name] for name in self.engine.inputs}
            outputs = self._rooms[index % 2]
            began = perf_counter()
            self.engine.run(given, outputs)
            if index >= WARM_UP:
                self.samples.append((perf_counter() - began) * 1000)
            if self.first is None:
                restyled = [outputs[f"{name}_out"].ravel() for name in PLANES]
                self.first = np.concatenate(restyled).astype(np.float32)
            tensors |= {name: outputs[f"{name}_out"] for name in self.subject.recurrent}


def measure(subject: Subject, rounds: int) -> tuple[dict[str, Runner], dict[str, str]]:
    """The runners by name, and why those that are missing are."""
    runners: dict[str, Runner] = {}
    missing: dict[str, str] = {}
    for name, make in subject.variants():
        try:
            runners[name] = Runner(subject, make())
        except ImportError as error:
            missing[name] = f"not tried: {error}"
        except (EngineError, RuntimeError) as error:
            if name in ("default", "fp32"):  # the others are held against these
                raise
            missing[name] = f"refused: {' '.join(str(error).split())[:160]}"
    for index in range(rounds):
        print(f"round {index + 1} of {rounds}", file=sys.stderr)
        for runner in runners.values():
            runner.turn()
    for runner in runners.values():
        runner.engine.close()
    return runners, missing


def table(runners: Mapping[str, Runner]) -> Iterator[str]:
    """Lines of Markdown."""
    default, reference = runners["default"], runners["fp32"]
    usual = float(np.median(default.samples))
    yield "| variant | ms p50 | ms p95 | gain | PSNR to fp32, dB |"
    yield "| --- | --- | --- | --- | --- |"
    for name, runner in runners.items():
        p50, p95 = np.percentile(runner.samples, (50, 95))
        gain = f"{100 * (1 - p50 / usual):+.1f} %"
        assert runner.first is not None and reference.first is not None
        error = float(np.mean((runner.first - reference.first) ** 2))
        near = "the same" if error == 0 else f"{10 * np.log10(255**2 / error):.1f}"
        yield f"| {name} | {p50:.2f} | {p95:.2f} | {gain} | {near} |"


def bake(serialized: bytes, style: NDArray[np.float32], strength: float) -> onnx.ModelProto:
    """A generator graph with one style at one strength inside it, where both inputs stood.

    What hangs on the two alone is computed here, once, and stands in the graph as constants. A back
    end then multiplies a layer's scale into its weights and adds the shift to its bias, which it
    cannot do with numbers that come with each frame. The result cannot fade.

    Args:
        serialized: a generator graph.
        style: a style code, [S].
        strength: 0..1.

    Raises:
        EngineError: it is no generator graph, the code is not of its length, or what hangs on
            the two cannot be computed.
    """
    model, spec = graph.read_graph(serialized)
    if style.shape != (spec.style_size,):
        raise EngineError(f"the style code has {spec.style_size} numbers, not {list(style.shape)}")
    values = {
        "style": np.asarray(style[None], np.float32),
        "strength": np.full((1, 1), strength, np.float32),
    }
    baked = model.graph
    _replace(baked.input, [value for value in baked.input if value.name not in FIXED])
    del baked.value_info[:]
    baked.initializer.extend(numpy_helper.from_array(value, key) for key, value in values.items())
    known, folded = _constant(baked)
    rest = [node for index, node in enumerate(baked.node) if index not in folded]
    read = {name for node in rest for name in node.input} | {v.name for v in baked.output}
    wanted = [name for index in folded for name in baked.node[index].output if name in read]
    for name, array in zip(wanted, _compute(model, known, wanted), strict=True):
        baked.initializer.append(numpy_helper.from_array(array, name))
    _replace(baked.node, rest)
    _replace(baked.initializer, [tensor for tensor in baked.initializer if tensor.name in read])
    return model


def _constant(nodes: onnx.GraphProto) -> tuple[list[int], list[int]]:
    """Indices of the nodes that give the same for every frame, and of those among them that hang
    on what is fixed."""
    constant = {tensor.name for tensor in nodes.initializer} | {""}
    hanging = set(FIXED)
    known, folded = [], []
    for index, node in enumerate(nodes.node):
        nested = any(attribute.HasField("g") for attribute in node.attribute)
        if nested or not constant.issuperset(node.input):
            continue
        constant.update(node.output)
        known.append(index)
        if not hanging.isdisjoint(node.input):
            hanging.update(node.output)
            folded.append(index)
    return known, folded


def _compute(model: onnx.ModelProto, nodes: list[int], wanted: list[str]) -> list[NDArray[Any]]:
    """The values of `wanted`, which `nodes` give without any input."""
    if not wanted:
        return []
    part = helper.make_graph(
        [model.graph.node[index] for index in nodes],
        "constants",
        [],
        [onnx.ValueInfoProto(name=name) for name in wanted],
        model.graph.initializer,
    )
    opsets, version = model.opset_import, model.ir_version
    alone = helper.make_model(part, opset_imports=opsets, ir_version=version)
    values: list[NDArray[Any]] = create_session(alone.SerializeToString(), threads=1).run(
        wanted, {}
    )
    return values


def _replace(field: Any, kept: Sequence[Message]) -> None:
    """Keep only these parts of a repeated field of protobuf."""
    copies = [type(each).FromString(each.SerializeToString()) for each in kept]
    del field[:]
    field.extend(copies)


def _planes(frame: Frame) -> Tensors:
    return {name: np.ascontiguousarray(getattr(frame, name))[None, None] for name in PLANES}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="1280x720,1920x1080", help="one or more, by commas")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each variant")
    parser.add_argument("--pack", default="default", help="a style pack: its name or file")
    parser.add_argument("--style", help="an expression; else the pack's first")
    arguments = parser.parse_args()
    load = machine.load_average()
    versions = ", ".join(f"{name} {machine.package_version(name)}" for name in LIBRARIES)
    print(f"{datetime.now(UTC):%Y-%m-%d}: {machine.cpu_name()}, {machine.cores()} cores", end=" ")
    print(f"({', '.join(machine.cpu_instructions())}); {versions}; load before {load}")
    try:
        for word in arguments.size.split(","):
            width, height = map(int, word.split("x"))
            subject = Subject(arguments.pack, arguments.style, (height, width))
            runners, missing = measure(subject, arguments.rounds)
            precision, threads = subject.found.precisions[0], subject.threads
            print(f"\n{word}; default: openvino {precision}, {threads} threads, static shape\n")
            for line in table(runners):
                print(line)
            for name, reason in missing.items():
                print(f"\n{name}: {reason}")
    except (StreamFXError, EngineError, ValueError) as error:
        sys.exit(f"cpu: {error}")


if __name__ == "__main__":
    main()
