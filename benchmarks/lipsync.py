"""Sound against picture, as Chromium plays a restyled stream of flashes and beeps.

A file with a white flash and a beep at every full second is served as a looping source and
watched by Chromium. A flash counts when the browser expects to display it
(requestVideoFrameCallback), a beep when it leaves the browser for the loudspeaker (AudioContext's
output time stamp). Positive offsets: the sound comes late.

    python benchmarks/lipsync.py --seconds 60
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from live_server import CHROMIUM_ARGUMENTS, chromium, serving
from playwright.sync_api import sync_playwright

PAGE = Path(__file__).with_name("lipsync.html")
RATE, SOUND_RATE = 30, 48_000
FLASH, BEEP = 0.1, 0.08  # seconds
WIDTH, HEIGHT = 640, 360


def make_clip(path: Path, seconds: int) -> None:
    """A flash and a beep at every full second; PCM, so that no encoder moves the sound."""
    ramp = np.linspace(20, 60, WIDTH, dtype=np.float32)[None, :, None]
    dark = np.broadcast_to(ramp, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    white = np.full_like(dark, 235)
    time_of = np.arange(SOUND_RATE) / SOUND_RATE
    tone = np.where(time_of < BEEP, np.sin(2 * np.pi * 1000 * time_of), 0) * 12_000
    second = np.repeat(tone.astype(np.int16), 2)[None]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", RATE, options={"tune": "zerolatency", "g": "30"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("pcm_s16le", SOUND_RATE, layout="stereo")
        for index in range(seconds * RATE):
            picture = white if index % RATE < FLASH * RATE else dark
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(video.encode(frame))
            if index % RATE == 0:
                sound = av.AudioFrame.from_ndarray(second, "s16", "stereo")
                sound.sample_rate = SOUND_RATE
                sound.pts = index // RATE * SOUND_RATE
                sound.time_base = Fraction(1, SOUND_RATE)
                container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def offsets(flashes: list[float], beeps: list[float], first: float) -> list[float]:
    """Milliseconds from each flash to the beep next to it; those before `first` are left out."""
    heard = np.array(beeps)
    found = [float(heard[np.abs(heard - flash).argmin()] - flash) for flash in flashes]
    return [
        each for each, at in zip(found, flashes, strict=True) if at >= first and abs(each) < 400
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=5, help="seconds before the first pair")
    parser.add_argument("--style", default="great-wave")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "flash.mkv"
        make_clip(clip, 20)
        options = ("--source", str(clip), "--loop", "--style", arguments.style)
        with serving(*options) as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium(), args=CHROMIUM_ARGUMENTS
            )
            page = browser.new_page()
            page.route(
                f"{server.address}/bench",
                lambda route: route.fulfill(body=PAGE.read_text(), content_type="text/html"),
            )
            page.goto(f"{server.address}/bench")
            page.evaluate("bench.watch('live')")
            time.sleep(arguments.warm_up + arguments.seconds)
            found = page.evaluate("bench.found()")
            browser.close()
    flashes, beeps = found["flashes"], found["beeps"]
    if not flashes or not beeps:
        raise SystemExit(f"{len(flashes)} flashes and {len(beeps)} beeps were found")
    pairs = np.array(offsets(flashes, beeps, flashes[0] + 1000 * arguments.warm_up))
    print(
        json.dumps(
            {
                "flashes": len(flashes),
                "beeps": len(beeps),
                "pairs": len(pairs),
                "offset ms": {
                    name: round(float(np.percentile(pairs, share)), 1)
                    for name, share in (("least", 0), ("median", 50), ("p95", 95), ("most", 100))
                },
                "first offsets ms": [round(each, 1) for each in offsets(flashes, beeps, 0)[:5]],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
