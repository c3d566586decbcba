"""Hours of ordinary trouble: does the server stay as it was?

A publisher that leaves and returns, viewers that come and go, styles that change. Every half
minute a line: memory, threads and open files of the server, and what the stream did since.

    python benchmarks/soak.py --minutes 120
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import time
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from aiortc import RTCPeerConnection
from live_client import pictures
from live_peers import Camera, connect
from live_server import memory, processor_seconds, serving

EVERY = 30.0  # seconds between two lines
MOST_VIEWERS = 6


async def publisher(http: ClientSession, address: str, chance: random.Random, size: str) -> None:
    """Publish for one to three minutes, leave for up to ten seconds, return."""
    width, height = map(int, size.split("x"))
    scene = pictures(None, width, height)
    while True:
        peer = await connect(http, f"{address}/whip/soak", Camera(scene, 30))
        try:
            await asyncio.sleep(chance.uniform(60, 180))
        finally:
            await peer.close()
        await asyncio.sleep(chance.uniform(0, 10))


async def viewer(http: ClientSession, address: str, chance: random.Random, seen: list[int]) -> None:
    """Watch for up to a minute, again and again."""
    await asyncio.sleep(chance.uniform(0, 20))
    while True:
        try:
            peer = await connect(http, f"{address}/whep/soak", None)
        except SystemExit:  # nothing on the air
            await asyncio.sleep(2)
            continue
        watching = asyncio.ensure_future(_count(peer, seen))
        try:
            await asyncio.sleep(chance.uniform(5, 60))
        finally:
            await peer.close()
            watching.cancel()
        await asyncio.sleep(chance.uniform(0, 10))


async def _count(peer: RTCPeerConnection, seen: list[int]) -> None:
    (receiver,) = peer.getReceivers()
    with contextlib.suppress(Exception):
        while True:
            await receiver.track.recv()
            seen[0] += 1


async def styler(http: ClientSession, address: str, chance: random.Random) -> None:
    """Another style, strength or blend every few seconds."""
    async with http.get(f"{address}/api/styles") as answer:
        names = [style["name"] for style in (await answer.json())["styles"]]
    while True:
        await asyncio.sleep(chance.uniform(2, 8))
        one, two = chance.sample(names, 2)
        change = chance.choice(
            [{"style": one}, {"style": f"{one}:0.6+{two}:0.4"}, {"strength": chance.random()}]
        )
        async with http.patch(f"{address}/api/streams/soak", json=change) as answer:
            if answer.status not in (200, 404):
                raise SystemExit(f"a change was refused: {answer.status} {await answer.text()}")


def state(pid: int) -> dict[str, Any]:
    return {
        "MiB": memory(pid) >> 20,
        "threads": len(list(Path(f"/proc/{pid}/task").iterdir())),
        "files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "cpu s": round(processor_seconds(pid), 1),
    }


async def soak(pid: int, address: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    chance = random.Random(arguments.seed)
    seen = [0]
    lines = []
    async with ClientSession() as http:
        sender = asyncio.ensure_future(publisher(http, address, chance, arguments.size))
        await asyncio.sleep(3)
        work = [sender, asyncio.ensure_future(styler(http, address, chance))]
        work += [
            asyncio.ensure_future(viewer(http, address, chance, seen)) for _ in range(MOST_VIEWERS)
        ]
        begun = time.monotonic()
        while time.monotonic() < begun + 60 * arguments.minutes:
            await asyncio.sleep(EVERY)
            for task in work:
                if task.done():
                    task.result()
            line = {"minute": round((time.monotonic() - begun) / 60, 1), **state(pid)}
            line |= {"frames seen": seen[0]}
            async with http.get(f"{address}/api/streams/soak") as answer:
                if answer.status == 200:
                    found = await answer.json()
                    stats = found["stats"]
                    line |= {"state": found["state"], "viewers": found["viewers"]}
                    line |= {k: stats[k] for k in ("frames_in", "frames_out", "dropped")}
            print(json.dumps(line), flush=True)
            lines.append(line)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with serving() as server:
        lines = asyncio.run(soak(server.pid, server.address, arguments))
    third = max(1, len(lines) // 3)
    early = max(line["MiB"] for line in lines[:third])
    late = max(line["MiB"] for line in lines[-third:])
    print(f"most memory in the first third {early} MiB, in the last third {late} MiB")


if __name__ == "__main__":
    main()
