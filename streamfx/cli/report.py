"""What commands share: messages and bars on the error stream, signals, durations."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType, TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from streamfx.errors import InputError


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} fps")


class Report:
    """Messages and progress for a person, on the error stream; one bar at a time.

    Args:
        quiet: leave out everything but failures.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        # Paths and messages are text, not markup, and stay on one line for scripts.
        self._console = Console(
            stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True
        )
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
            transient=True,
        )

    def say(self, message: str) -> None:
        """Something worth knowing."""
        if not self._quiet:
            self._console.print(message)

    def fail(self, message: str) -> None:
        """Something that did not work."""
        self._console.print(message)

    @contextmanager
    def bar(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """A bar that takes the frames done and the frames expected (0 = unknown)."""
        task = self._progress.add_task(name, total=None)

        def advance(done: int, expected: int) -> None:
            self._progress.update(task, completed=done, total=max(done, expected) or None)

        try:
            yield advance
        finally:
            self._progress.remove_task(task)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


def say_log(report: Report) -> None:
    """Let what the program logs, from "info" on, be said as well."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            report.say(self.format(record))

    log = logging.getLogger("streamfx")
    log.addHandler(Handler())
    log.setLevel(logging.INFO)


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """An event that the first SIGINT or SIGTERM sets; the second is a KeyboardInterrupt."""
    stop = Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def seconds(text: str) -> float:
    """Seconds of `90`, `1:30` or `0:01:30.5`.

    Raises:
        InputError: it is none of them.
    """
    match = re.fullmatch(
        r"(?:(?:(\d{1,4}):)?(\d{1,2}):)?(\d{1,6}(?:\.\d{1,9})?)", text.strip(), re.ASCII
    )
    if match is None:
        raise InputError(f"a time is like 90, 1:30 or 0:01:30.5, not {text!r}")
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest
