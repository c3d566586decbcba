"""What viewers cost the server: one against many that count frames and don't decode them.

A client publishes H.264; then one viewer watches, then all of them. Only the server's processor
time counts; publisher and viewers are processes of their own.

    python benchmarks/viewers.py --size 640x360 --viewers 16
    python benchmarks/viewers.py --size 1280x720 --viewers 16 --off
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from aiohttp import ClientSession
from aiortc.rtp import RtpPacket
from live_client import pictures
from live_peers import Camera, connect
from live_server import processor_seconds, serving

H264_IDR, H264_STAP_A, H264_FU_A = 5, 24, 28


class FrameCounter:
    """Stands for a receiver's jitter buffer: counts whole pictures and hands none on.

    Attributes:
        times: time.monotonic() of every picture's last packet.
        key_frame: of the first key frame's first packet, None before.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.key_frame: float | None = None

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        now = time.monotonic()
        if self.key_frame is None and _begins_key_frame(packet.payload):
            self.key_frame = now
        if packet.marker:
            self.times.append(now)
        return False, None


def _begins_key_frame(payload: bytes) -> bool:
    """RFC 6184: the kind of NAL unit in a packet, one of several or a fragment."""
    if not payload:
        return False
    kind = payload[0] & 31
    if kind == H264_FU_A:
        return len(payload) > 1 and payload[1] & 31 == H264_IDR
    return kind in (H264_IDR, H264_STAP_A)


def watch(address: str, count: int, pipe: Connection) -> None:
    """A process of viewers; answers "read" with their figures since the last time."""
    asyncio.run(_watch(address, count, pipe))


async def _watch(address: str, count: int, pipe: Connection) -> None:
    joined: list[float] = []
    counters: list[FrameCounter] = []
    viewers = []
    async with ClientSession() as http:
        for _ in range(count):
            began = time.monotonic()
            viewer = await connect(http, f"{address}/whep/bench", None)
            (receiver,) = viewer.getReceivers()
            counter = FrameCounter()
            receiver._RTCRtpReceiver__jitter_buffer = counter
            while counter.key_frame is None and time.monotonic() < began + 10:
                await asyncio.sleep(0.005)
            joined.append(float("inf") if counter.key_frame is None else counter.key_frame - began)
            viewers.append(viewer)
            counters.append(counter)
        pipe.send(joined)
        while await asyncio.to_thread(pipe.recv) == "read":
            pipe.send([counter.times for counter in counters])
            for counter in counters:
                counter.times = []
        await asyncio.gather(*(viewer.close() for viewer in viewers))


async def publish(address: str, size: str, fps: int, source: str | None) -> None:
    width, height = map(int, size.split("x"))
    camera = Camera(pictures(source, width, height), fps)
    async with ClientSession() as http:
        await connect(http, f"{address}/whip/bench", camera)
        await asyncio.Event().wait()


def publishing(address: str, size: str, fps: int, source: str | None) -> None:
    asyncio.run(publish(address, size, fps, source))


def measure(pid: int, address: str, count: int, arguments: argparse.Namespace) -> dict[str, Any]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=watch, args=(address, count, theirs), daemon=True)
    process.start()
    joined = ours.recv()
    time.sleep(arguments.warm_up)
    ours.send("read")
    ours.recv()
    cpu, begun = processor_seconds(pid), time.monotonic()
    time.sleep(arguments.seconds)
    ours.send("read")
    times = ours.recv()
    lasted = time.monotonic() - begun
    cores = (processor_seconds(pid) - cpu) / lasted
    ours.send("end")
    process.join(20)
    rates = sorted(len(each) / lasted for each in times)
    return {
        "viewers": count,
        "server cores": round(cores, 3),
        "fps of the slowest": round(rates[0], 2),
        "fps of the fastest": round(rates[-1], 2),
        "key frame after, slowest, s": round(max(joined), 3),
    }


def on_the_air(address: str) -> bool:
    try:
        with urlopen(f"{address}/api/streams/bench") as answer:
            return bool(json.load(answer)["stats"]["frames_in"])
    except HTTPError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--viewers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--warm-up", type=float, default=8)
    parser.add_argument("--off", action="store_true", help="no style: the encoder alone")
    parser.add_argument("--input", help="a video whose first frames are sent, over and over")
    arguments = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    strength = "0" if arguments.off else "1"
    with serving("--strength", strength) as server:
        publisher = multiprocessing.Process(
            target=publishing,
            args=(server.address, arguments.size, arguments.fps, arguments.input),
            daemon=True,
        )
        publisher.start()
        while not on_the_air(server.address) and publisher.is_alive():
            time.sleep(0.5)
        rows = [
            measure(server.pid, server.address, count, arguments)
            for count in (1, arguments.viewers)
        ]
        publisher.terminate()
    more = rows[1]["server cores"] - rows[0]["server cores"]
    print(json.dumps({"rows": rows, "the others cost, cores": round(more, 3)}, indent=1))


if __name__ == "__main__":
    main()
