"""A headless Chromium, and what its videos show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

import peers

_SAMPLE = (64, 36)
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)
ALLOWED = "--use-fake-ui-for-media-stream"  # answers the camera's question with yes
CAMERA = "--use-fake-device-for-media-stream=fps=15"


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """The browser with some more flags; the test is skipped where there is none."""
    program = peers.require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*_FLAGS, *flags])
        try:
            yield browser
        finally:
            browser.close()


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
