"""Delay from capture to display: Chromium -> streamfx serve -> Chromium, on one machine.

A page draws a moving picture with the frame's number in black and white blocks, publishes it
over WHIP and watches the restyled stream over WHEP. For every frame shown, the number is read
back from the pixels: the delay is the time at which the browser expects to display the frame
(requestVideoFrameCallback) less the time at which that number was drawn. Both are readings of
one clock.

    python benchmarks/live_browser.py --seconds 60
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from live_server import CHROMIUM_ARGUMENTS, chromium, processor_seconds, serving
from playwright.sync_api import Page, sync_playwright

PAGE = Path(__file__).with_name("stamp.html")
FREEZE = 0.25  # seconds without a new frame


def measure(page: Page, address: str, arguments: argparse.Namespace) -> dict[str, Any]:
    page.route(
        f"{address}/bench",
        lambda route: route.fulfill(body=PAGE.read_text(), content_type="text/html"),
    )
    page.goto(f"{address}/bench")
    if arguments.picture:
        page.route("**/scene.jpg", lambda route: route.fulfill(path=arguments.picture))
    page.evaluate(
        "([fps, picture]) => bench.publish('bench', fps, picture)",
        [arguments.fps, "/scene.jpg" if arguments.picture else None],
    )
    page.evaluate("bench.watch('bench')")
    page.wait_for_function("bench.samples().length > 5", timeout=30_000)
    time.sleep(arguments.warm_up)
    before = page.evaluate("bench.inbound()")
    page.evaluate("bench.clear()")
    stats_before = stream_stats(address)
    time.sleep(arguments.seconds)
    samples = page.evaluate("bench.samples()")
    after, outbound = page.evaluate("bench.inbound()"), page.evaluate("bench.outbound()")
    stats_after = stream_stats(address)
    return {
        "samples": samples,
        "inbound": {
            k: after.get(k, 0) - before.get(k, 0)
            for k in (
                "framesDecoded",
                "framesDropped",
                "freezeCount",
                "totalFreezesDuration",
                "packetsLost",
                "nackCount",
                "pliCount",
            )
        },
        "codec": after.get("decoderImplementation"),
        "outbound": {
            k: outbound.get(k)
            for k in (
                "frameWidth",
                "frameHeight",
                "framesPerSecond",
                "encoderImplementation",
                "qualityLimitationReason",
            )
        },
        "restyled": stats_after["frames_restyled"] - stats_before["frames_restyled"],
        "out": stats_after["frames_out"] - stats_before["frames_out"],
        "server": stats_after,
    }


def stream_stats(address: str) -> dict[str, Any]:
    with urlopen(f"{address}/api/streams/bench") as answer:
        stats: dict[str, Any] = json.load(answer)["stats"]
        return stats


def summary(raw: dict[str, Any], seconds: float) -> dict[str, Any]:
    samples = raw.pop("samples")
    delays = np.array([s["delay"] for s in samples if s["known"]])
    shown = np.diff(sorted(s["shown"] for s in samples)) / 1000
    return {
        "frames shown": len(samples),
        "fps shown": round(len(samples) / seconds, 2),
        "different frames": len({s["number"] for s in samples}),
        "unreadable": sum(not s["known"] for s in samples),
        "size": [samples[-1]["width"], samples[-1]["height"]],
        "delay ms": {f"p{p}": round(float(np.percentile(delays, p)), 1) for p in (5, 50, 95, 99)},
        "longest gap s": round(float(shown.max()), 3),
        "freezes": int((shown > FREEZE).sum()),
        "block contrast": round(float(np.median([s["contrast"] for s in samples])), 1),
        **raw,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=20, help="seconds before the first sample")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--picture", help="a picture behind the moving disc")
    parser.add_argument("--raw", type=Path, help="write every sample there, as JSON")
    arguments = parser.parse_args()
    with serving("--style", arguments.style) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        try:
            cpu = processor_seconds(server.pid)
            raw = measure(browser.new_page(), server.address, arguments)
            raw["server cores"] = round(
                (processor_seconds(server.pid) - cpu) / (arguments.seconds + arguments.warm_up), 2
            )
        finally:
            browser.close()
    if arguments.raw:
        arguments.raw.write_text(json.dumps(raw))
    print(json.dumps(summary(raw, arguments.seconds), indent=1))


if __name__ == "__main__":
    main()
