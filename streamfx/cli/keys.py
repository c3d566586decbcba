"""Single key presses from the terminal, for hot keys."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_POLL = 0.05  # seconds, on Windows

Read = Callable[[float], str]


@contextmanager
def key_presses() -> Iterator[Read]:
    """A function that waits so many seconds for a key, and gives it or "".

    Where the input is no terminal, it only waits.
    """
    if not sys.stdin or not sys.stdin.isatty():
        yield _nothing
    elif sys.platform == "win32":
        yield _windows
    else:
        import termios
        import tty

        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor)
        try:
            yield _posix
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _nothing(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _posix(seconds: float) -> str:
    import os
    import select

    descriptor = sys.stdin.fileno()
    if not select.select([descriptor], [], [], seconds)[0]:
        return ""
    pressed = os.read(descriptor, 1)
    if not pressed:  # the terminal has gone
        time.sleep(seconds)
    return pressed.decode("ascii", "replace")


def _windows(seconds: float) -> str:
    from importlib import import_module

    console: Any = import_module("msvcrt")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if console.kbhit():
            return str(console.getwch())
        time.sleep(_POLL)
    return ""
