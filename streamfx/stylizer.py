"""The stylizer: frames in, restyled frames out, remembering the last one."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from streamfx import engines
from streamfx.brushwork import Brushwork
from streamfx.color import even, frame_from_rgb, frame_to_rgb
from streamfx.engines.base import Precision
from streamfx.engines.graph import read_spec
from streamfx.engines.residence import room
from streamfx.errors import InputError, StreamFXError
from streamfx.expressions import format_expression, pack_named_by, parse_expression, resolve
from streamfx.following import Follower, Step
from streamfx.frames import Frame
from streamfx.styles import DEFAULT, Pack, find_pack

SMALLEST_SIDE = 16
_ENGINES = 3

Floats = NDArray[np.float32]
Size = tuple[int, int]
Tensors = dict[str, Any]  # arrays, of the host or of the engine's device


class Load(Protocol):
    """See `streamfx.engines.load`."""

    def __call__(
        self, graph: bytes, size: Size, *, backend: str, options: engines.EngineOptions
    ) -> engines.Engine: ...


class Stylizer:
    """Restyles the frames of one stream, one after the other.

    What a frame leaves (the hidden state, and the restyled picture where the graph holds it
    steady along the motion) is fed to the next. It starts afresh at a scene cut, at a
    jump in time (back, or ahead by over 0.5 s), when the frame size changes, after a frame of
    strength 0, and on `reset`.

    One thread at a time may call it; `style`, `code` and `strength` may be set from any thread
    and count from the next frame on. An engine is compiled when the first frame of a size comes
    (`prepare` does it ahead), and those of the last three sizes are kept.

    Args:
        style: a style expression (see streamfx.expressions).
        strength: 0..1; at 0 the engine does not run and the same planes come back.
        pack: a `Pack`, a file or a pack's name; None = the pack that `style` names, or else
            the default one. It stays for the stylizer's life.
        backend: see `streamfx.engines.load`.
        precision, threads: see `EngineOptions`.
        load: takes what `streamfx.engines.load` takes, and stands in its place.

    Attributes:
        pack, backend: as given.
        options: the precision and the threads.

    Raises:
        InputError: the pack, the style or the strength cannot be used.
    """

    def __init__(
        self,
        style: str,
        *,
        strength: float = 1.0,
        pack: Pack | str | os.PathLike[str] | None = None,
        backend: str = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
        load: Load | None = None,
    ) -> None:
        if pack is None:
            pack = pack_named_by(parse_expression(style)) or DEFAULT
        self.pack = pack if isinstance(pack, Pack) else find_pack(pack)
        self.style = style
        self.strength = strength
        self.backend = backend
        self.options = engines.EngineOptions(precision=precision, threads=threads)
        self._load = load
        self._graph = self.pack.generator
        self._spec = read_spec(self._graph)
        self._engines: OrderedDict[Size, engines.Engine] = OrderedDict()
        self._brushwork = Brushwork.of(self.pack)
        self._follower = Follower(self._spec.motion, self._brushwork.has_marks)
        # What the last frame left for the next one, and arrays that may be written over.
        self._past: Tensors | None = None
        self._spare: Tensors = {}
        self._closed = False

    @property
    def style(self) -> str:
        """The style expression; setting it keeps the state, so the picture changes smoothly.

        Raises:
            InputError: when it is set to what is not an expression, or not of this pack; the
                style then stays as it was.
        """
        return self._style

    @style.setter
    def style(self, expression: str) -> None:
        terms = parse_expression(expression)
        self._code: Floats = resolve(terms, self.pack)[None]
        self._style = format_expression(terms)

    @property
    def code(self) -> Floats:
        """The style code, float32 [S]: that of `style`, or the one that was set since.

        Setting it keeps the state, and `style` as it is: this is how a fade passes through
        codes that no expression names.

        Raises:
            InputError: when it is set to anything but S finite numbers; the code then stays
                as it was.
        """
        return np.array(self._code[0])

    @code.setter
    def code(self, values: Floats) -> None:
        size = self._spec.style_size
        if values.shape != (size,) or not np.isfinite(values).all():
            raise InputError(
                f"a style code of this pack is {size} finite numbers, not {list(values.shape)}"
            )
        self._code = np.array(values[None], np.float32)

    @property
    def strength(self) -> float:
        """How much of the style shows, 0..1.

        Raises:
            InputError: when it is set to anything else.
        """
        return float(self._strength[0, 0])

    @strength.setter
    def strength(self, value: float) -> None:
        if not 0 <= value <= 1:
            raise InputError(f"the strength is a number from 0 to 1, not {value}")
        self._strength: Floats = np.full((1, 1), value, np.float32)

    def reset(self) -> None:
        """Forget the last frame: the next one is restyled as the first of a stream."""
        self._follower.reset()
        self._past = None

    def prepare(self, height: int, width: int) -> engines.EngineInfo:
        """Compile the engine for a frame size, unless it is there, and say what it is.

        Raises:
            InputError: a side is odd or below 16 pixels.
            EngineError: no engine can be had.
        """
        return self._engine((height, width)).info

    def __call__(self, frame: Frame) -> Frame:
        """The restyled frame: new planes, with the time and the colour tags of `frame`.

        At strength 0 it has the very planes of `frame`.

        Raises:
            InputError: a side is odd or below 16 pixels, or the planes do not fit each other.
            EngineError: no engine can be had, or it failed.
        """
        _check_planes(frame)
        if self.strength == 0:
            self.reset()
            return replace(frame)
        size = (frame.height, frame.width)
        engine = self._engine(size)
        step = self._follower(frame.y, frame.time)
        if not step.goes_on:
            self._past = None
        restyled, past = self._run(engine, frame, step, self._past, self._spare)
        self._spare, self._past = self._past or {}, past
        return restyled

    def picture(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A restyled still, uint8 RGB [H, W, 3] of any size from 16 pixels a side.

        It stands alone: a stream that is under way is not touched. Between RGB and the planes
        lies one conversion (BT.709, limited range); at strength 0 the picture comes back as is.

        Raises:
            InputError: it is not such a picture.
            EngineError: no engine can be had, or it failed.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise InputError(f"a picture is uint8 [H, W, 3], not {rgb.dtype} {list(rgb.shape)}")
        height, width = rgb.shape[:2]
        _check_size((height + height % 2, width + width % 2))
        if self.strength == 0:
            return rgb.copy()
        frame = frame_from_rgb(even(rgb))
        alone = Follower(motion=False, places=self._brushwork.has_marks)
        step = alone(frame.y, frame.time)
        restyled, _ = self._run(self._engine((frame.height, frame.width)), frame, step)
        painted = frame_to_rgb(restyled)
        return np.ascontiguousarray(painted[:height, :width])

    def close(self) -> None:
        """Free the engines; closing again does nothing, calling afterwards is an error."""
        self._closed = True
        self.reset()
        while self._engines:
            self._engines.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _engine(self, size: Size) -> engines.Engine:
        if self._closed:
            raise StreamFXError("the stylizer is closed; make a new one")
        if size in self._engines:
            self._engines.move_to_end(size)
            return self._engines[size]
        _check_size(size)
        load = self._load or engines.load
        engine = load(self._graph, size, backend=self.backend, options=self.options)
        self._engines[size] = engine
        if len(self._engines) > _ENGINES:
            self._engines.popitem(last=False)[1].close()
        return engine

    def _run(
        self,
        engine: engines.Engine,
        frame: Frame,
        step: Step,
        past: Tensors | None = None,
        spare: Tensors | None = None,
    ) -> tuple[Frame, Tensors]:
        """The restyled frame and what the next one is given; None stands for "no past".

        Arrays of `spare` that fit are written over: fresh ones cost a page fault for each page.
        What goes on to the next frame stays on the engine's device, if it keeps tensors there.
        """
        y, u, v = (np.ascontiguousarray(p)[None, None] for p in (frame.y, frame.u, frame.v))
        inputs: Tensors = {"y": y, "u": u, "v": v}
        inputs |= {"style": self._code, "strength": self._strength}
        if past is not None:
            inputs |= past
        if step.motion is not None:
            inputs |= step.motion.inputs(self.strength)
        if step.places is not None:
            size = (frame.height, frame.width)
            inputs |= self._brushwork.inputs(self._code[0], size, step.places)
        for name, spec in engine.inputs.items():
            if name not in inputs:
                inputs[name] = np.zeros(spec.shape, spec.dtype)
        spare = spare or {}
        outputs: Tensors = {
            f"{name}_out": room(engine, f"{name}_out", spare.get(name))
            for name in self._spec.recurrent
        }
        for name, spec in engine.outputs.items():
            if name not in outputs:
                outputs[name] = np.empty(spec.shape, spec.dtype)
        engine.run(inputs, outputs)
        planes = (outputs[name][0, 0] for name in ("y_out", "u_out", "v_out"))
        restyled = replace(frame, **dict(zip("yuv", planes, strict=True)))
        return restyled, {name: outputs[f"{name}_out"] for name in self._spec.recurrent}


def _check_size(size: Size) -> None:
    height, width = size
    if min(size) < SMALLEST_SIDE or height % 2 or width % 2:
        raise InputError(
            f"a frame has even sides of at least {SMALLEST_SIDE} pixels, not {width}x{height}"
        )


def _check_planes(frame: Frame) -> None:
    _check_size((frame.height, frame.width))
    half = (frame.height // 2, frame.width // 2)
    if (frame.u.shape, frame.v.shape) != (half, half) or any(
        plane.dtype != np.uint8 for plane in (frame.y, frame.u, frame.v)
    ):
        raise InputError("the planes of a frame are uint8, and chroma has half the sides of luma")
