"""Delay of the server without a browser: H.264 in over WHIP, restyled H.264 out over WHEP.

A client encodes stamped pictures with x264's fastest preset, publishes them and watches the
restyled stream. The delay is from just before a picture is encoded to when the restyled one is
decoded, by one clock. The client's receiver hands frames on as the server's does: at the RTP
marker, not when the next frame begins.

    python benchmarks/live_client.py --size 1280x720 --seconds 30 [--input clip.mp4]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter

import av
import numpy as np
from aiohttp import ClientSession
from live_peers import Camera, Luma, connect, read_stamp
from live_server import processor_seconds, serving

from streamfx.demo import draw
from streamfx.server.aiortc_internals import Decoded, ReceiverTap
from streamfx.server.rtp_clock import SourceClock

PICTURES = 60


def pictures(source: str | None, width: int, height: int) -> list[Luma]:
    """Planes [H * 3 / 2, W] of the first frames of a file, or of the program's own scene."""
    if source is None:
        made = [
            av.VideoFrame.from_ndarray(draw(i / 30, width, height, coarse=2), "rgb24")
            for i in range(PICTURES)
        ]
    else:
        with av.open(source) as container:
            made = [f for f, _ in zip(container.decode(video=0), range(PICTURES), strict=False)]
    return [frame.reformat(width, height, "yuv420p").to_ndarray().copy() for frame in made]


async def measure(address: str, arguments: argparse.Namespace) -> dict[str, object]:
    width, height = map(int, arguments.size.split("x"))
    camera = Camera(pictures(arguments.input, width, height), arguments.fps)
    delays: list[tuple[float, float]] = []
    sizes: Counter[str] = Counter()

    def show(frame: Decoded, _captured: float) -> None:
        now = time.monotonic()
        assert isinstance(frame, av.VideoFrame)
        sizes[f"{frame.width}x{frame.height}"] += 1
        taken = camera.taken.get(read_stamp(frame.to_ndarray()[: frame.height]))
        if taken is not None:
            delays.append((now, 1000 * (now - taken)))

    async with ClientSession() as http:
        publisher = await connect(http, f"{address}/whip/bench", camera)
        await asyncio.sleep(1)
        viewer = await connect(http, f"{address}/whep/bench", None)
        (receiver,) = viewer.getReceivers()
        # Before the peers have met: nothing has come yet.
        tap = ReceiverTap(receiver, SourceClock({"video": 90_000}), show)
        await asyncio.sleep(arguments.warm_up)
        delays.clear()
        sizes.clear()
        begun = time.monotonic()
        await asyncio.sleep(arguments.seconds)
        lasted = time.monotonic() - begun
        async with http.get(f"{address}/api/streams/bench") as answer:
            stats = (await answer.json())["stats"]
        await viewer.close()
        await publisher.close()
    if tap.undecoded:
        print(f"the client itself was too slow for {tap.undecoded} frames")
    values = np.array([delay for _, delay in delays])
    gaps = np.diff([at for at, _ in delays])
    return {
        "frames": len(values),
        "fps": round(len(values) / lasted, 2),
        "sizes": dict(sizes),
        "delay ms": {f"p{p}": round(float(np.percentile(values, p)), 1) for p in (5, 50, 95, 99)},
        "longest gap s": round(float(gaps.max()), 3),
        "server": stats,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--warm-up", type=float, default=10)
    parser.add_argument("--style", default="great-wave")
    parser.add_argument("--input", help="a video whose first frames are sent, over and over")
    arguments = parser.parse_args()
    with serving("--style", arguments.style) as server:
        cpu = processor_seconds(server.pid)
        found = asyncio.run(measure(server.address, arguments))
        found["server processor seconds"] = round(processor_seconds(server.pid) - cpu, 2)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
