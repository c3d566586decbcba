"""Stages on threads with bounded queues between them.

The *file* policy: every frame passes, in order, with its timestamp; a slow stage holds the
faster ones back. PyAV, the engines and the encoders release the interpreter's lock, so that
decoding, restyling and encoding overlap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Condition, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from streamfx.media.decoding import Decoding
    from streamfx.media.planes import Stamped
    from streamfx.media.writer import Encoder

T = TypeVar("T")
U = TypeVar("U")
F = TypeVar("F", bound="Stamped")

# Frames that wait between two stages: enough to even out their times, few enough that a
# 4K picture's queue stays below 100 MB.
DEPTH = 4


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Stages(Generic[F]):
    """What the three stages of a file do with its frames, whose type says where they lie.

    Attributes:
        decoding: makes the frames.
        restyle: one after the other; a frame is handed over, and another one comes back.
        encoder: takes the frames over.
        close: gives back what the stages hold, when the file is closed.
    """

    decoding: Decoding[F]
    restyle: Callable[[F], F]
    encoder: Encoder[F]
    close: Callable[[], None] = _nothing


class _Closed(Exception):
    """The channel was closed from the other side; never leaves this module."""


class Channel(Generic[T]):
    """A bounded queue from one thread to another that either side can end.

    `put` waits while `depth` items wait; iterating ends when the writer has finished, or
    raises what the writer failed with.
    """

    def __init__(self, depth: int = DEPTH) -> None:
        self._depth = depth
        self._items: deque[T] = deque()
        self._changed = Condition()
        self._finished = False
        self._error: BaseException | None = None
        self._abandoned = False

    def put(self, item: T) -> None:
        """Hand an item over.

        Raises:
            _Closed: the reader has gone.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._depth or self._abandoned)
            if self._abandoned:
                raise _Closed
            self._items.append(item)
            self._changed.notify_all()

    def finish(self, error: BaseException | None = None) -> None:
        """Nothing more will come, because of `error` if there is one."""
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify_all()

    def abandon(self) -> None:
        """Nothing more will be read; whoever waits at either side gives up."""
        with self._changed:
            self._abandoned = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._finished or self._abandoned)
                if self._error is not None:
                    raise self._error  # at once: what waits behind an error is of no use
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


def _pump(items: Iterable[T], channel: Channel[T]) -> None:
    try:
        for item in items:
            channel.put(item)
    except _Closed:
        pass
    except BaseException as error:
        channel.finish(error)
    else:
        channel.finish()


def run(
    source: Iterable[T], transform: Callable[[T], U], sink: Callable[[U], None], depth: int = DEPTH
) -> None:
    """Pass every item of `source` through `transform` into `sink`, each on its own thread.

    `source` and `transform` run on threads of their own, `sink` on the caller's. Order is kept
    and nothing is dropped. The first exception of any stage stops them all and is raised here,
    after the threads have ended; so does an exception that a signal handler raises.
    """
    read: Channel[T] = Channel(depth)
    made: Channel[U] = Channel(depth)

    def transformed() -> Iterator[U]:
        try:
            yield from map(transform, read)
        finally:
            read.abandon()

    threads = [
        Thread(target=_pump, args=(source, read), name="streamfx-read"),
        Thread(target=_pump, args=(transformed(), made), name="streamfx-transform"),
    ]
    for thread in threads:
        thread.start()
    try:
        for item in made:
            sink(item)
    finally:
        made.abandon()
        read.abandon()
        for thread in threads:
            thread.join()
