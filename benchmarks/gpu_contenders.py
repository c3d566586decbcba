"""What benchmarks/gpu.py measures: contenders, made for a network at a frame size.

They run what `streamfx.engines` and `streamfx.device` make; PyTorch is there for comparison alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamfx.device.decide import probe
from streamfx.device.stylize import resident_graph
from streamfx.device.video import find_stages
from streamfx.engines import EngineOptions, choose
from streamfx.engines.base import Precision
from streamfx.engines.batching import Batcher
from streamfx.engines.cuda import LEGACY_STREAM, Cuda
from streamfx.engines.graph import tensor_specs
from streamfx.engines.residence import room
from streamfx.engines.verify import LARGEST_DIFFERENCE
from streamfx.errors import EngineError, StreamFXError
from streamfx.frames import Frame
from streamfx.media.decoding import OnTheCPU
from streamfx.media.reader import Reader
from streamfx.process import Settings, process_video
from streamfx.styles import Pack
from streamfx.stylizer import Stylizer

Tensors = dict[str, NDArray[Any]]
Size = tuple[int, int]

PRECISION: Precision = "fp16"
STREAMS = 4
CHECKED = 3  # frames in a row, of which the last is held against fp32's
CLIP_FRAMES = 240
WRONG_ENCODED = 12.0  # as LARGEST_DIFFERENCE, where an encoder lies between
TENSORRTS = ("tensorrt-rtx", "tensorrt")
ONNXRUNTIME, PYTORCH = "onnxruntime-cuda", "pytorch"


@dataclass(frozen=True)
class Subject:
    """A network at a frame size, and the frames that all restyle.

    Attributes:
        pack: the file of its style pack.
        clip: a video of `CLIP_FRAMES` frames.
        size: (height, width).
        frames: what a graph takes beside its past, for the first frames of the clip.
        wanted: what fp32 on the CPU gives for the last of them, the past carried on.
    """

    pack: Path
    clip: Path
    size: Size
    graph: bytes
    frames: list[Tensors]
    wanted: Tensors = field(default_factory=dict)


class Runner(Protocol):
    """What a contender is once it is made; a step computes `frames` frames and then is back."""

    frames: int

    def put(self, frame: Tensors) -> None:
        """Take a frame's inputs to where `step` reads them; the past is what a step left."""

    def step(self) -> None: ...

    def read(self) -> Tensors:
        """The outputs of the last step, on the host."""


class Engined:
    """An engine and one stream.

    Args:
        resident: whether all tensors lie in the card's memory; else pictures and motion come from
            the host's and pictures go back, as `streamfx process` has it.
    """

    frames = 1

    def __init__(self, engine: Any, resident: bool) -> None:
        self._engine = engine
        past = [name for name, spec in engine.outputs.items() if spec.dtype != np.uint8]
        # Two sets, so that a frame's past can be read while the next one's is written.
        self._past, self._next = ({name: room(engine, name) for name in past} for _ in range(2))
        for array in self._past.values():
            if isinstance(array, np.ndarray):
                array.fill(0)
        self._inputs, self._outputs = (
            {
                name: engine.place(name) if resident else np.zeros(spec.shape, spec.dtype)
                for name, spec in specs.items()
                if name not in past and f"{name}_out" not in past
            }
            for specs in (engine.inputs, engine.outputs)
        )

    def put(self, frame: Tensors) -> None:
        for name, place in self._inputs.items():
            if isinstance(place, np.ndarray):
                place[:] = frame[name]
            else:
                self._engine.cuda.upload(place.address, frame[name], LEGACY_STREAM)
                self._engine.cuda.synchronize(LEGACY_STREAM)

    def step(self) -> None:
        past = {name.removesuffix("_out"): array for name, array in self._past.items()}
        self._engine.run(self._inputs | past, self._outputs | self._next)
        self._past, self._next = self._next, self._past

    def read(self) -> Tensors:
        return {
            name: array.copy()
            if isinstance(array, np.ndarray)
            else self._engine.cuda.to_host(array, LEGACY_STREAM)
            for name, array in (self._outputs | self._past).items()
        }


class Ungraphed(Cuda):
    """CUDA that refuses to record graphs, so that an engine runs without them."""

    def call(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        if name == "StreamBeginCapture":
            raise EngineError("no CUDA graph is wanted")
        return super().call(name, *arguments)


class Streams:
    """Several streams, each on a thread of its own; a step is one frame of each."""

    def __init__(self, streams: Sequence[Engined]) -> None:
        self.frames = len(streams)
        self._streams = streams
        self._threads = ThreadPoolExecutor(len(streams))

    def put(self, frame: Tensors) -> None:
        for stream in self._streams:
            stream.put(frame)

    def step(self) -> None:
        list(self._threads.map(Engined.step, self._streams))

    def read(self) -> Tensors:
        return self._streams[-1].read()


class Torched:
    """The network in PyTorch, its convolutions in `precision`, channels last.

    `torch.export` gives what runs, so that its constants are computed once and lie on the card. A
    CUDA graph has fixed addresses: there the past is copied back, as a part of it.
    """

    frames = 1

    def __init__(
        self,
        subject: Subject,
        compiled: bool = False,
        captured: bool = False,
        device: str = "cuda",
        precision: str = PRECISION,
    ) -> None:
        from safetensors.torch import load

        from streamfx.training.base import GENERATOR_WEIGHTS
        from streamfx.training.networks import WIDTHS, Generator, PlanesGraph

        torch: Any = import_module("torch")
        pack = Pack.open(subject.pack)
        generator = Generator(WIDTHS[pack.manifest.network.width])
        generator.load_state_dict(load(pack.read(GENERATOR_WEIGHTS)))
        network: Any = PlanesGraph(generator).eval().requires_grad_(False)
        network.to(memory_format=torch.channels_last)
        spec = generator.config.graph
        specs, outputs = tensor_specs(spec, subject.size, 1)
        zeros = {n: torch.from_numpy(np.zeros(s.shape, s.dtype)) for n, s in specs.items()}
        program = torch.export.export(network, tuple(zeros.values()), strict=False)
        low = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
        self._function: Any = settled(program, device, low)
        if compiled:
            self._function = torch.compile(self._function, dynamic=False)
        torch.backends.cudnn.benchmark = True
        self._torch, self._recurrent, self._names = torch, spec.recurrent, list(outputs)
        self._inputs = {name: tensor.to(device) for name, tensor in zeros.items()}
        self._results: Sequence[Any] = ()
        self._copies = captured
        self._wait: Callable[[], None] = (
            torch.cuda.synchronize if device == "cuda" else lambda: None
        )
        self._run: Callable[[], None] = self._frame
        if captured:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):
                    self._frame()
            aside.synchronize()
            recorded = torch.cuda.CUDAGraph()
            with torch.cuda.graph(recorded):
                self._frame()
            self._run = recorded.replay

    def _frame(self) -> None:
        self._results = self._function(*self._inputs.values())
        for name in self._recurrent:
            left = self._results[self._names.index(f"{name}_out")]
            if self._copies:
                self._inputs[name].copy_(left)
            else:
                self._inputs[name] = left

    def put(self, frame: Tensors) -> None:
        for name, array in frame.items():
            self._inputs[name].copy_(self._torch.from_numpy(array))

    def step(self) -> None:
        self._run()
        self._wait()

    def read(self) -> Tensors:
        pairs = zip(self._names, self._results, strict=True)
        return {name: tensor.cpu().numpy() for name, tensor in pairs}


def settled(program: Any, device: str, low: Any) -> Any:
    """The module of a `torch.export.ExportedProgram` on a device, its convolutions in the type
    `low`. What hangs on constants alone is computed; what checks the inputs is left out."""
    import torch
    from torch.export.passes import move_to_device_pass

    module = move_to_device_pass(program, device).module()
    graph, known = module.graph, {}
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.conv2d.default):
        with graph.inserting_before(node):
            for index, given in enumerate(node.args[:3]):
                if given is not None:  # the bias may be
                    cast = graph.call_function(torch.ops.aten.to.dtype, (given, low))
                    node.update_arg(index, cast)
    for node in list(graph.nodes):
        if node.op == "get_attr":
            known[node] = attrgetter(node.target)(module)
        elif "_assert_tensor_metadata" in str(node.target) or node.target == "_guards_fn":
            graph.erase_node(node)
        elif node.op == "call_function" and known.keys() >= set(node.all_input_nodes or [None]):
            args, settings = torch.fx.map_arg((node.args, node.kwargs), known.__getitem__)
            name = f"settled{len(known)}"
            module.register_buffer(name, node.target(*args, **settings))
            with graph.inserting_before(node):
                constant = graph.get_attr(name)
            known[constant] = getattr(module, name)
            node.replace_all_uses_with(constant)
            graph.erase_node(node)
    graph.eliminate_dead_code()
    module.recompile()
    return module


class Files:
    """A file to a file; a step is the whole clip.

    Args:
        restyle: writes the restyled clip to a path; how many frames there were.
        engines: stay loaded, so that each file finds what was built in the card's memory.
    """

    def __init__(self, restyle: Callable[[Path], int], engines: Sequence[Any] = ()) -> None:
        self.frames = CLIP_FRAMES
        self._engines = engines
        self._folder = tempfile.TemporaryDirectory(prefix="streamfx-gpu-")
        self._target = Path(self._folder.name) / "out.mp4"
        self._restyle = restyle

    def put(self, frame: Tensors) -> None:
        """The frames come out of the clip."""

    def step(self) -> None:
        if (count := self._restyle(self._target)) != self.frames:
            raise StreamFXError(f"{count} of {self.frames} frames came out")

    def read(self) -> Tensors:
        restyled = planes(first_frames(self._target)[-1])
        return {f"{name}_out": plane for name, plane in restyled.items()}


def engine_of(
    backend: str, graph: bytes, size: Size, batch: int = 1, precision: Precision = PRECISION
) -> Any:
    """An engine, built where it has to be."""
    chosen, options = choose(backend), EngineOptions(precision=precision)
    if not chosen.ready(graph, size=size, batch=batch, options=options):
        chosen.build(graph, size=size, batch=batch, options=options)
    return chosen.load(graph, size=size, batch=batch, options=options)


def one(
    subject: Subject,
    backend: str,
    resident: bool = True,
    graphs: bool = True,
    precision: Precision = PRECISION,
) -> Runner:
    engine = engine_of(backend, subject.graph, subject.size, precision=precision)
    if not graphs:
        engine.cuda = Ungraphed(engine.cuda.runtime, engine.cuda.device)
    return Engined(engine, resident)


def several(
    subject: Subject,
    backend: str,
    batched: bool,
    resident: bool = True,
    precision: Precision = PRECISION,
) -> Runner:
    def load(batch: int) -> Any:
        return engine_of(backend, subject.graph, subject.size, batch, precision)

    if batched:
        load(STREAMS).close()  # built once, it serves smaller batches as well
    join = Batcher(load, STREAMS).join if batched else partial(load, 1)
    return Streams([Engined(join(), resident) for _ in range(STREAMS)])


def files(subject: Subject, backend: str, stays: bool, precision: Precision = PRECISION) -> Runner:
    """Frames that stay on the card from NVDEC to NVENC, or come from the CPU and go back."""
    pack, graphs = Pack.open(subject.pack), [subject.graph]
    if stays:
        found = probe((), subject.graph, subject.size, EngineOptions())
        for lacks in (found.nvdec, found.nvenc):
            if lacks is not None:
                raise EngineError(f"{lacks.reason}; try: {lacks.fix}")
        graphs.append(resident_graph(subject.graph))
    engines = [engine_of(backend, graph, subject.size, precision=precision) for graph in graphs]
    stylizer = Stylizer(pack.styles[0].name, pack=pack, backend=backend, precision=precision)
    settings = Settings(frames="auto" if stays else "cpu")

    def on_the_card(*given: Any) -> Any:
        stages = find_stages(*given)
        if stages is None:
            raise EngineError("something stands against it; streamfx doctor says what")
        return stages

    def restyle(target: Path) -> int:
        said: list[str] = []  # that the CPU begins anew, for one
        outcome = process_video(
            subject.clip, target, stylizer, settings, say=said.append, on_the_gpu=on_the_card
        )
        if said:
            raise StreamFXError("; ".join(said))
        return outcome.frames

    return Files(restyle, engines)


@dataclass(frozen=True)
class Contender:
    """What is measured.

    Attributes:
        library: what it needs, a back end's name or `PYTORCH`.
        make: the runner for a subject.
        wrong: mean difference to fp32, in grey levels, above which its speed says nothing.
    """

    name: str
    library: str
    make: Callable[[Subject], Runner]
    wrong: float = LARGEST_DIFFERENCE


def contenders() -> list[list[Contender]]:
    """Those that take turns with each other: engines, streams, files."""
    groups: list[list[Contender]] = [[], [], []]

    def add(group: int, library: str, name: str, make: Any, **settings: Any) -> None:
        if library != PYTORCH:
            settings["backend"] = library
        wrong = WRONG_ENCODED if make is files else LARGEST_DIFFERENCE
        made = partial(make, **settings)
        groups[group].append(Contender(f"{library}, {name}", library, made, wrong))

    for name in TENSORRTS:
        add(0, name, "CUDA graph", one)
        add(0, name, "no CUDA graph", one, graphs=False)
        add(1, name, f"{STREAMS} streams side by side", several, batched=False)
        add(2, name, "NVDEC to NVENC", files, stays=True)
    for name in (*TENSORRTS, ONNXRUNTIME):
        resident = name in TENSORRTS
        add(0, name, "pictures from the host", one, resident=False)
        add(1, name, f"{STREAMS} streams batched", several, batched=True, resident=resident)
        add(2, name, "CPU's decoder to x264", files, stays=False)
    add(0, PYTORCH, "eager", Torched)
    add(0, PYTORCH, "CUDA graph", Torched, captured=True)
    add(0, PYTORCH, "compiled", Torched, compiled=True)
    add(0, PYTORCH, "compiled, CUDA graph", Torched, compiled=True, captured=True)
    return groups


def first_frames(path: Path) -> list[Frame]:
    with Reader(path, OnTheCPU()) as reader:
        return list(islice((item for item in reader if isinstance(item, Frame)), CHECKED))


def planes(frame: Frame) -> Tensors:
    return {name: np.ascontiguousarray(getattr(frame, name))[None, None] for name in "yuv"}
