"""Debian's ffmpeg as a publisher over RTMP."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import peers
from watching import wait_for

# A moving test picture above, and below it an even grey (luma 71) by which a style is told.
MOVING = "testsrc=size=160x48:rate=15,pad=160:96:0:0:0x404040"
GREY = 71
TONE = "sine=frequency=440:sample_rate=48000"
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15")


def command(
    url: str,
    *,
    picture: str | None = MOVING,
    sound: str | None = TONE,
    coding: Sequence[str] = ("-pix_fmt", "yuv420p"),
    seconds: float = 600,
) -> list[str]:
    """What publishes these lavfi sources at their own speed."""
    found = [peers.require("ffmpeg"), "-nostdin", "-loglevel", "error"]
    for graph in filter(None, (picture, sound)):
        found += ["-re", "-f", "lavfi", "-i", graph]
    if picture is not None:
        found += [*_X264, "-threads", "1", *coding]
    if sound is not None:
        found += ["-c:a", "aac"]
    return [*found, "-t", str(seconds), "-f", "flv", url]


@contextmanager
def publishing(url: str, **about: object) -> Iterator[subprocess.Popen[str]]:
    """Publish until the block ends."""
    process = subprocess.Popen(
        command(url, **about),  # type: ignore[arg-type]
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def refused(url: str) -> str:
    """What ffmpeg says when it may not publish there; it must not be let in."""
    done = subprocess.run(
        command(url, seconds=5), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0, "it was let in"
    return done.stderr


def wait_for_listener(port: int) -> None:
    """Wait until somebody listens on a port of this machine."""

    def listens() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            time.sleep(0.1)
            return False
        return True

    wait_for(listens, f"a listener on {port}")
