"""Frames of several streams computed together, where the streams have one size and one graph.

A GPU is faster at four small frames at once than at four in turn. A frame waits for those of
the other streams only briefly, and no more for a stream that has let it wait in vain until that
sends a frame again, so that a stream that pauses holds nobody up.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from streamfx.engines.base import Engine, EngineInfo, TensorSpec
from streamfx.engines.errors import EngineError
from streamfx.engines.residence import Resident

Load = Callable[[int], Engine]
# (inputs, outputs) of one frame; arrays, or what the engine takes beside them.
Frame = tuple[Mapping[str, Any], Mapping[str, Any]]

MOST_FRAMES = 4
LONGEST_WAIT = 0.003  # seconds

log = logging.getLogger(__name__)


@runtime_checkable
class SideBySide(Protocol):
    """An engine of batch N that takes N frames' own tensors, such as `TensorRTEngine`."""

    def run_each(self, frames: Sequence[Frame]) -> None: ...


@dataclass(eq=False)
class _Request:
    frame: Frame
    member: Member
    done: bool = False
    error: Exception | None = field(default=None)


class Batcher:
    """Runs the frames of its members together; each member is an `Engine` for one stream.

    Args:
        load: gives an engine for a batch; each is loaded when it is first needed, that for one
            frame at once. A batch whose engine cannot be had is not tried again.
        most: frames that are computed together at most.
        wait: seconds that a frame waits for those of other members at most.

    Attributes:
        batches: how many batches of each size there were.
        late: how many went ahead without everybody, because the wait was over.

    Raises:
        EngineError: the engine for one frame cannot be had.
    """

    def __init__(self, load: Load, most: int = MOST_FRAMES, wait: float = LONGEST_WAIT) -> None:
        self.batches: Counter[int] = Counter()
        self.late = 0
        self._load = load
        self._most = most
        self._wait = wait
        self._engines: dict[int, Engine] = {1: load(1)}
        self._waiting: deque[_Request] = deque()
        self._running = False
        self._members: set[Member] = set()
        self._away: set[Member] = set()  # those that were waited for in vain
        self._changed = threading.Condition()

    @property
    def members(self) -> int:
        """How many streams there are."""
        return len(self._members)

    def join(self) -> Member:
        """An engine for one more stream; closing it is leaving.

        Raises:
            EngineError: the last one has left; make a new batcher.
        """
        with self._changed:
            if not self._engines:
                raise EngineError("the engine is closed")
            member = Member(self, self._engines[1])
            self._members.add(member)
            return member

    def _leave(self, member: Member) -> None:
        """The last one frees the engines."""
        with self._changed:
            self._members.discard(member)
            self._away.discard(member)
            self._changed.notify_all()
            if self._members:
                return
            unused, self._engines = self._engines, {}
        for engine in unused.values():
            engine.close()

    def _run(self, frame: Frame, member: Member) -> None:
        request = _Request(frame, member)
        with self._changed:
            self._away.discard(member)
            self._waiting.append(request)
            self._changed.notify_all()
            # The first in line leads, as soon as the batch before has ended.
            self._changed.wait_for(
                lambda: request.done or (not self._running and self._waiting[0] is request)
            )
            if not request.done:
                self._running = True
                if not self._changed.wait_for(self._complete, self._wait):
                    self.late += 1
                    self._away = self._members - {each.member for each in self._waiting}
                count = min(len(self._waiting), self._most)
                batch = [self._waiting.popleft() for _ in range(count)]
                self.batches[count] += 1
        if not request.done:
            self._lead(batch)
        if request.error is not None:
            raise request.error

    def _complete(self) -> bool:
        return len(self._waiting) >= min(len(self._members) - len(self._away), self._most)

    def _lead(self, batch: list[_Request]) -> None:
        error: Exception | None = None
        try:
            self._compute([request.frame for request in batch])
        except Exception as failure:  # whatever a device raises, nobody is left waiting
            error = failure
        with self._changed:
            for request in batch:
                request.done, request.error = True, error
            self._running = False
            self._changed.notify_all()

    def _compute(self, frames: list[Frame]) -> None:
        engine = self._engine(len(frames))
        if engine is None:
            for frame in frames:
                self._engines[1].run(*frame)
            return
        if isinstance(engine, SideBySide):
            engine.run_each(frames)
            return
        inputs = {
            name: np.concatenate([given[name] for given, _ in frames]) for name in engine.inputs
        }
        outputs = {name: np.empty(s.shape, s.dtype) for name, s in engine.outputs.items()}
        engine.run(inputs, outputs)
        for index, (_, taken) in enumerate(frames):
            for name, array in outputs.items():
                taken[name][:] = array[index : index + 1]

    def _engine(self, count: int) -> Engine | None:
        """What computes so many frames at once; None where it is one after the other."""
        if count == 1:
            return None
        if count not in self._engines:
            try:
                self._engines[count] = self._load(count)
            except EngineError as error:
                log.warning("frames are computed %d at a time at most: %s", count - 1, error)
                self._most = count - 1
                return None
        return self._engines[count]


class Member:
    """See `Engine`: one stream's place in a `Batcher`."""

    def __init__(self, batcher: Batcher, single: Engine) -> None:
        self.info: EngineInfo = single.info
        self.inputs: Mapping[str, TensorSpec] = single.inputs
        self.outputs: Mapping[str, TensorSpec] = single.outputs
        self._batcher = batcher
        self._single = single
        self._closed = False

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        if self._closed:
            raise EngineError("the engine is closed")
        self._batcher._run((inputs, outputs), self)

    @property
    def resident(self) -> bool:
        """See `Resident`."""
        return isinstance(self._single, Resident) and self._single.resident

    def place(self, name: str) -> Any:
        """See `Resident`."""
        if not isinstance(self._single, Resident):
            raise EngineError(f"{self.info.backend} keeps nothing on a device")
        return self._single.place(name)

    @property
    def cuda(self) -> Any:
        """The GPU of an engine that has one."""
        return getattr(self._single, "cuda", None)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._batcher._leave(self)
