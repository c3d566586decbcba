"""`streamfx serve` in a process of its own, as a user starts it."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_STARTS_WITHIN = 90.0
_STOPS_WITHIN = 15.0


@dataclass(frozen=True)
class Served:
    """A server that is ready.

    Attributes:
        url: such as `http://127.0.0.1:40123`, without a slash at the end.
        process: it; its output streams go to files.
    """

    url: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def serving(folder: Path, *arguments: object, **settings: object) -> Iterator[Served]:
    """Start the server on a free port of loopback, and stop it at the end.

    Args:
        folder: a place of its own, where the log goes as `serve.log`.
        arguments: of the command; a later `--port` counts.
        settings: of the configuration's environment, such as MAX_STREAMS=1.
    """
    environment = os.environ | {
        f"STREAMFX_SERVER__{name}": str(value) for name, value in settings.items()
    }
    command = [sys.executable, "-m", "streamfx.cli", "serve", "--port", "0", *arguments]
    with (folder / "serve.log").open("a") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            cwd=folder,
        )
    try:
        yield Served(_url_of(process, folder / "serve.log"), process)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOPS_WITHIN)
        process.kill()
        process.wait()


def _url_of(process: subprocess.Popen[str], log: Path) -> str:
    """The address that the server prints, once it says that it is ready."""
    assert process.stdout is not None
    deadline = time.monotonic() + _STARTS_WITHIN
    said = ""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while "ready" not in said:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                break
            piece = os.read(process.stdout.fileno(), 65_536).decode()
            if not piece:
                break
            said += piece
    found = re.search(r"studio\s+(\S+?)/?$", said, re.MULTILINE)
    assert found and "ready" in said, f"the server did not start: {said}{log.read_text()}"
    return found[1]
