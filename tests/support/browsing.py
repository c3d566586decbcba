"""A headless Chromium, and what its videos show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

import peers

_SAMPLE = (64, 36)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
)
PLAIN_ADDRESSES = "--disable-features=WebRtcHideLocalIpsWithMdns"  # no mDNS names
ALLOWED = "--use-fake-ui-for-media-stream"  # answers the camera's question with yes


def camera(path: Path) -> tuple[str, ...]:
    """Flags for a camera that shows a white bar moving over grey, drawn into a file at `path`.

    Chromium's own test picture is a green that no colour space holds, so nothing could be told
    from what becomes of it.
    """
    width, height = 320, 180
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F15:1 Ip A1:1 C420jpeg\n".encode())
        for index in range(15):
            luma = np.full((height, width), 110, np.uint8)
            luma[:, 20 * index : 20 * index + 40] = 200
            file.write(b"FRAME\n" + luma.tobytes() + bytes([128]) * (width * height // 2))
    return "--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={path}"


class Chromium:
    """Starts browsers."""

    def __init__(self, playwright: Playwright, program: str) -> None:
        self._kind, self._program = playwright.chromium, program

    def __call__(self, *flags: str) -> Browser:
        """A browser with some more flags."""
        return self._kind.launch(
            executable_path=self._program, args=[*FLAGS, PLAIN_ADDRESSES, *flags]
        )


@contextmanager
def chromium() -> Iterator[Chromium]:
    """The browsers of a test module, which is skipped where Chromium is missing."""
    program = peers.require("chromium")
    with sync_playwright() as playwright:
        yield Chromium(playwright, program)


def until(page: Page, what: str, true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something holds that the page's own waiting cannot see."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come about in {seconds:.0f} s")
        page.wait_for_timeout(100)


def frames_shown(page: Page, video: str) -> int:
    """How many frames a <video> has shown."""
    script = "(v) => v.getVideoPlaybackQuality().totalVideoFrames"
    return int(page.locator(video).evaluate(script))


def picture(page: Page, video: str) -> NDArray[np.int16]:
    """What a <video> shows, RGB [36, 64, 3], 0..255."""
    script = """(video, [width, height]) => {
        const canvas = document.createElement("canvas");
        Object.assign(canvas, {width, height});
        const context = canvas.getContext("2d");
        context.drawImage(video, 0, 0, width, height);
        return Array.from(context.getImageData(0, 0, width, height).data);
    }"""
    width, height = _SAMPLE
    data = page.locator(video).evaluate(script, [width, height])
    return np.array(data, np.int16).reshape(height, width, 4)[:, :, :3]


def color(page: Page, video: str) -> NDArray[np.float64]:
    """The mean colour of what a <video> shows, R, G and B, 0..255."""
    mean: NDArray[np.float64] = picture(page, video).mean(axis=(0, 1))
    return mean


def wait_for_motion(page: Page, video: str) -> None:
    """Wait until a <video> shows new frames that differ."""
    first = frames_shown(page, video)
    seen = picture(page, video)

    def moved() -> bool:
        change = np.abs(picture(page, video) - seen).max()
        return frames_shown(page, video) >= first + 5 and bool(change > 40)

    until(page, f"a moving picture in {video}", moved)
