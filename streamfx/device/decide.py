"""The one place that decides what runs where: decoding, restyling and encoding.

`probe` gathers the facts of this machine, `decide` is a function of them alone.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from streamfx.device.stylize import resident_graph
from streamfx.engines.base import Available, Backend, EngineOptions, Unavailable
from streamfx.engines.errors import EngineError
from streamfx.engines.nvidia import Gpu, find_gpu
from streamfx.engines.tensorrt import FLAVOURS

Stage = Literal["decode", "stylize", "encode"]
Place = Literal["CPU", "GPU"]

_WINDOWS = sys.platform == "win32"
_NVDEC = "nvcuvid.dll" if _WINDOWS else "libnvcuvid.so.1"
_NVENC = "nvEncodeAPI64.dll" if _WINDOWS else "libnvidia-encode.so.1"
_DRIVER = "install NVIDIA's driver with its video libraries"
_CPU_BACKENDS = ("openvino", "onnxruntime")
_SMALL = (144, 256)  # a picture that every NVENC takes


@dataclass(frozen=True)
class Candidate:
    """A back end, in the order in which "auto" asks.

    Attributes:
        found: what its probe says.
        ready: whether its engine for the graph and size is built, or needs no building.
        resident: whether its engine for frames that stay on the GPU is built as well.
    """

    name: str
    found: Available | Unavailable
    ready: bool
    resident: bool = False


@dataclass(frozen=True)
class Facts:
    """What a decision rests on.

    Attributes:
        gpu: the NVIDIA GPU.
        candidates: the back ends.
        nvdec, nvenc: None where decoding and encoding on the GPU can be had.
    """

    gpu: Gpu | Unavailable
    candidates: tuple[Candidate, ...]
    nvdec: Unavailable | None
    nvenc: Unavailable | None


@dataclass(frozen=True)
class Choice:
    """Where a stage runs.

    Attributes:
        by: what does it there.
        why: in a few words.
        fix: what would change it, empty where nothing is amiss.
    """

    stage: Stage
    place: Place
    by: str
    why: str
    fix: str = ""

    def __str__(self) -> str:
        words = f"{self.stage} runs on the {self.place} by {self.by}: {self.why}"
        return f"{words}; try: {self.fix}" if self.fix else words


def decide(facts: Facts) -> tuple[Choice, Choice, Choice]:
    """Decode, stylize and encode, each with its reason.

    Frames stay on the GPU through all three stages or cross to it for restyling alone: NVENC takes
    surfaces that the engine filled, and the engine pays for NVDEC only where they follow.

    Raises:
        EngineError: no back end can run.
    """
    stylize, resident = _stylize(facts)
    obstacles: dict[Stage, Unavailable] = {}
    if stylize.by not in FLAVOURS:
        where = "works on the CPU" if stylize.place == "CPU" else "takes the host's memory alone"
        obstacles["stylize"] = Unavailable(f"the engine, {stylize.by}, {where}", stylize.fix)
    elif not resident:
        obstacles["stylize"] = Unavailable(
            f"{stylize.by}'s engine for frames that stay on the GPU is not built",
            f"streamfx engines build --backend {stylize.by}",
        )
    if facts.nvdec is not None:
        obstacles["decode"] = facts.nvdec
    if facts.nvenc is not None:
        obstacles["encode"] = facts.nvenc
    if obstacles:
        # Without a card there is nothing to mend.
        mend = not isinstance(facts.gpu, Unavailable)
        decode = _on_the_cpu("decode", "encode", obstacles, mend)
        encode = _on_the_cpu("encode", "decode", obstacles, mend)
    else:
        decode = Choice("decode", "GPU", "NVDEC", "the engine reads its surfaces")
        encode = Choice("encode", "GPU", "NVENC", "the engine writes into its surfaces")
    return decode, stylize, encode


def _on_the_cpu(
    stage: Stage, other: Stage, obstacles: dict[Stage, Unavailable], mend: bool
) -> Choice:
    """A stage that stays on the CPU, for its own reason or for that of the nearest other one."""
    found = obstacles.get(stage) or obstacles.get("stylize")
    if found is None:
        found = Unavailable(f"{other} is not possible on the GPU: {obstacles[other].reason}", "")
    return Choice(stage, "CPU", "FFmpeg", found.reason, found.fix if mend else "")


def _stylize(facts: Facts) -> tuple[Choice, bool]:
    """The choice, and whether its engine takes frames that stay on the GPU."""
    waiting = ""
    reasons = []
    for candidate in facts.candidates:
        if isinstance(candidate.found, Unavailable):
            reasons.append(f"{candidate.name}: {candidate.found.reason}")
        elif not candidate.ready:
            waiting = waiting or candidate.name
        else:
            place: Place = "CPU" if candidate.name in _CPU_BACKENDS else "GPU"
            if waiting:
                choice = Choice(
                    "stylize",
                    place,
                    candidate.name,
                    f"{waiting} is better, and is built beside it before it takes over",
                    f"streamfx engines build --backend {waiting}",
                )
            else:
                why = "the first in order that works here"
                choice = Choice("stylize", place, candidate.name, why)
            return choice, candidate.resident
    raise EngineError(f"no back end can run ({'; '.join(reasons) or waiting})")


def probe(
    backends: tuple[Backend, ...],
    graph: bytes,
    size: tuple[int, int],
    options: EngineOptions,
    *,
    decoder: str = "h264",
    codec: str = "h264",
) -> Facts:
    """Look at this machine; opens an encoder for a moment where there is a GPU.

    Args:
        backends: as `streamfx.engines.backends` gives them.
        graph, size: what engines are looked for; (height, width). The graph is a pack's.
        decoder: FFmpeg's name of what decodes on the CPU, which says what NVDEC would have to.
        codec: what is encoded, as in `streamfx.media.containers.CODECS`.

    Raises:
        EngineError: the graph cannot be used.
    """
    gpu = find_gpu()
    return Facts(
        gpu=gpu,
        candidates=tuple(_candidates(backends, graph, size, options)),
        nvdec=gpu if isinstance(gpu, Unavailable) else _nvdec(decoder),
        nvenc=gpu if isinstance(gpu, Unavailable) else _nvenc(codec),
    )


def _candidates(
    backends: tuple[Backend, ...], graph: bytes, size: tuple[int, int], options: EngineOptions
) -> Iterator[Candidate]:
    """Those up to the first that can run: what comes after it has no say."""
    for backend in backends:
        found = backend.probe()
        ready = isinstance(found, Available) and backend.ready(
            graph, size=size, batch=1, options=options
        )
        resident = (
            ready
            and backend.name in FLAVOURS
            and backend.ready(resident_graph(graph), size=size, batch=1, options=options)
        )
        yield Candidate(backend.name, found, ready, resident)
        if ready:
            return


def _nvdec(decoder: str) -> Unavailable | None:
    import av
    import av.error

    from streamfx.device.decode import hardware

    if missing := _missing(_NVDEC):
        return missing
    try:
        hardware().create(av.Codec(decoder, "r"))
    except NotImplementedError:
        return Unavailable(f"FFmpeg's {decoder} does not decode on the GPU", "")
    except av.error.FFmpegError as error:
        return Unavailable(f"NVDEC does not open: {error}", "update the driver")
    return None


def _nvenc(codec: str) -> Unavailable | None:
    import av
    import av.error

    from streamfx.device.encode import ENCODERS

    if codec not in ENCODERS:
        return Unavailable(f"NVENC does not encode {codec}", f"--codec {', '.join(ENCODERS)}")
    if missing := _missing(_NVENC):
        return missing
    try:
        context: Any = av.CodecContext.create(ENCODERS[codec], "w")
        context.height, context.width = _SMALL
        context.pix_fmt = "nv12"
        context.open()
    except av.error.FFmpegError as error:
        return Unavailable(
            f"NVENC does not open for {codec}: {error}",
            "update the driver; data-centre cards such as the A100 and H100 have no encoder",
        )
    return None


def _missing(library: str) -> Unavailable | None:
    try:
        ctypes.CDLL(library)
    except OSError:
        return Unavailable(f"{library} is not there", _DRIVER)
    return None
