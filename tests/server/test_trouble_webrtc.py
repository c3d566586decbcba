"""What goes wrong on the air: bad bodies, killed peers, sizes and clocks that change."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import aiortc.clock
import pytest
from aiortc import RTCPeerConnection

from process_memory import resident
from rtc import SDP, Pictures, Tone, publish, serving, until, vanish, watch
from sdps import OFFER_OBS, OFFER_VIEWER
from streamfx.server import sessions as session_times
from streamfx.server.hub import HUB
from streamfx.server.signalling import sessions


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def _bad_bodies(number: int) -> list[bytes]:
    """Offers with lines cut, doubled, swapped and replaced, and noise, the same each time."""
    dice = random.Random(3)
    bodies = [b"\x00" * 1000, dice.randbytes(3000), b"v=0", b"v=0\r\n" * 5000, b"{}"]
    while len(bodies) < number:
        lines = dice.choice((OFFER_OBS, OFFER_VIEWER)).encode().split(b"\r\n")
        for _ in range(dice.randint(1, 6)):
            at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
            match dice.randrange(5):
                case 0:
                    lines[at] = lines[at][: dice.randrange(len(lines[at]) + 1)]
                case 1:
                    lines[at], lines[other] = lines[other], lines[at]
                case 2:
                    lines[at] += b" " + dice.randbytes(5)
                case 3:
                    lines[at] = lines[at].replace(b"1", b"99999999999").replace(b"9", b"-9")
                case _:
                    lines.insert(at, lines[other])
        bodies.append(b"\r\n".join(lines))
    return bodies


def test_200_bad_bodies(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, handshake_seconds=0.2, max_streams=4) as server:
            seen = set()
            for n, body in enumerate(_bad_bodies(200)):
                url = f"{server.url}/{'whip' if n % 2 else 'whep'}/live"
                async with server.http.post(url, data=body, headers=SDP) as response:
                    text = await response.text()
                    assert response.status < 500 or response.status == 503, (body, text)
                    seen.add(response.status)
                    assert "Traceback" not in text
                    if response.status != 201:
                        assert "\n" not in text
            assert {400, 406} <= seen
            await until(lambda: not sessions(server.app), "the end of those that never connect")
            publisher = await publish(server, "fine")
            viewer = await watch(server, "fine")
            await until(lambda: len(viewer.pictures) > 3, "pictures all the same")
            for client in (publisher, viewer):
                await client.connection.close()

    run(test())


@pytest.mark.parametrize("told", [True, False])
def test_a_body_of_100_megabytes(tmp_path: Path, told: bool) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            taken = 0

            async def body() -> AsyncIterator[bytes]:
                nonlocal taken
                for _ in range(100):
                    taken += 1
                    yield b"v" * (1 << 20)

            headers = SDP | ({"Content-Length": str(100 << 20)} if told else {})
            try:
                async with server.http.post(
                    f"{server.url}/whip/live", data=body(), headers=headers
                ) as response:
                    assert response.status == 413
                    assert "larger than" in await response.text()
            finally:
                assert taken < 100, "all of it was read"

    run(test())


def test_a_publisher_that_is_killed_may_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_times, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(session_times, "GONE_SECONDS", 6.0)

    async def test() -> None:
        async with serving(tmp_path) as server:
            first = await publish(server)
            viewer = await watch(server)
            await until(lambda: len(viewer.pictures) > 5, "pictures")
            stream = server.app[HUB].get("live")
            assert stream is not None
            await vanish(first)
            await until(lambda: stream.stats().state == "paused", "the notice")
            seen = len(viewer.pictures)
            await until(lambda: len(viewer.pictures) > seen, "the last picture, with the notice")

            second = await publish(server)  # as another peer, while the first is not given up yet
            await until(lambda: stream.stats().state == "live", "the return")
            assert server.app[HUB].get("live") is stream
            seen = len(viewer.pictures)
            await until(lambda: len(viewer.pictures) > seen + 10, "pictures without renegotiating")
            assert viewer.connection.connectionState == "connected"
            await until(
                lambda: sessions(server.app).get(("publish", "connected")) == 1, "the first's end"
            )
            assert stream.stats().state == "live"
            for client in (first, second, viewer):
                await client.connection.close()

    run(test())


def test_a_publisher_that_stalls_goes_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_times, "SILENT_SECONDS", 0.7)

    async def test() -> None:
        async with serving(tmp_path) as server:
            publisher = await publish(server)
            stream = server.app[HUB].get("live")
            assert stream is not None
            await until(lambda: stream.stats().frames_in > 3, "frames")
            transport = publisher.connection.getSenders()[0].transport
            original = transport._send_rtp

            async def nothing(data: bytes) -> None:
                pass

            vars(transport)["_send_rtp"] = nothing
            await until(lambda: stream.stats().state == "paused", "the notice")
            vars(transport)["_send_rtp"] = original
            await until(lambda: stream.stats().state == "live", "the return")
            await publisher.connection.close()

    run(test())


def test_viewers_that_are_killed_are_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_times, "DEAF_SECONDS", 3.0)

    async def test() -> None:
        async with serving(tmp_path) as server:
            publisher = await publish(server)
            killed, other = await watch(server), await watch(server)
            # Until its first report, after at most 1.5 s, only ICE tells that it is gone.
            await until(lambda: len(killed.pictures) > 30 < len(other.pictures), "pictures")
            stream = server.app[HUB].get("live")
            assert stream is not None
            assert stream.stats().viewers == 2
            await vanish(killed)
            await until(lambda: stream.stats().viewers == 1, "letting go")
            seen = len(other.pictures)
            await until(lambda: len(other.pictures) > seen + 5, "the other's pictures")
            for client in (killed, other, publisher):
                await client.connection.close()

    run(test())


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_the_size_changes_in_mid_stream(tmp_path: Path, codec: str) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            pictures = Pictures()
            publisher = await publish(server, video=pictures, codec=codec)
            viewer = await watch(server)
            stream = server.app[HUB].get("live")
            assert stream is not None
            await until(lambda: len(viewer.pictures) > 3, "pictures")
            for size in ((320, 192), (96, 160)):
                pictures.size = size
                await until(lambda: stream.stats().size_in == size, f"{size}")  # noqa: B023
                seen = len(viewer.pictures)
                await until(lambda: len(viewer.pictures) > seen + 3, "pictures")  # noqa: B023
            assert {(p.width, p.height) for p in viewer.pictures} == {(160, 96)}
            for client in (viewer, publisher):
                await client.connection.close()

    run(test())


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_the_wall_clock_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """Both peers and the server share it here: reports and estimates are all off at once."""
    offset = 0.0
    ntp, milliseconds, wall = aiortc.clock.current_ntp_time, aiortc.clock.current_ms, time.time
    monkeypatch.setattr(aiortc.clock, "current_ntp_time", lambda: ntp() + (int(offset) << 32))
    monkeypatch.setattr(aiortc.clock, "current_ms", lambda: milliseconds() + int(offset * 1000))
    monkeypatch.setattr(time, "time", lambda: wall() + offset)

    async def test() -> None:
        nonlocal offset
        async with serving(tmp_path) as server:
            publisher = await publish(server, audio=Tone())
            viewer = await watch(server)
            await until(lambda: len(viewer.pictures) > 5 < len(viewer.sounds), "pictures, sound")
            offset = jump
            end = time.monotonic() + 3  # till reports with the new time have come
            await until(lambda: time.monotonic() > end, "three seconds")
            pictures, sounds = len(viewer.pictures), len(viewer.sounds)
            await until(lambda: len(viewer.pictures) > pictures + 10, "pictures")
            await until(lambda: len(viewer.sounds) > sounds + 10, "sound")
            stream = server.app[HUB].get("live")
            assert stream is not None
            assert stream.stats().stages["delay"].p95 < 2000
            times = [float(p.pts * p.time_base) for p in viewer.pictures]
            assert all(0 < b - a < 3 for a, b in itertools.pairwise(times))
            for client in (viewer, publisher):
                await client.connection.close()

    run(test())


@pytest.mark.parametrize("rounds", [6, pytest.param(25, marks=pytest.mark.slow)])
def test_peers_that_come_and_go_leave_nothing(tmp_path: Path, rounds: int) -> None:
    """A publisher and a viewer of each codec come and go in every round."""

    async def test() -> None:
        async with serving(tmp_path) as server:
            publisher = await publish(server)
            await until(lambda: publisher.connection.connectionState == "connected", "connecting")
            threads, tasks = _threads(), len(asyncio.all_tasks())
            memory = []
            for n in range(rounds):
                guest = await publish(server, f"guest-{n % 2}")
                viewers = [await watch(server, codecs=(codec,)) for codec in ("h264", "vp8")]
                await until(lambda: all(len(v.pictures) > 1 for v in viewers), "pictures")  # noqa: B023
                for client in (*viewers, guest):
                    await client.connection.close()
                await server.app[HUB].close(f"guest-{n % 2}")
                memory.append(resident())
            await until(lambda: len(sessions(server.app)) == 1, "the guests' end")
            await until(lambda: _threads() <= threads, "the threads' end")
            await until(lambda: len(asyncio.all_tasks()) <= tasks, "the tasks' end")
            half = rounds // 2
            assert min(memory[half:]) - max(memory[:half]) < 20_000
            await publisher.connection.close()

    run(test())


def _threads() -> int:
    """Threads, but for the event loop's own pool, which grows to its bound and stays."""
    return sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())


def test_five_percent_of_the_packets_are_lost(tmp_path: Path) -> None:
    """On both ways, in both directions: retransmissions and key frames mend the picture."""

    async def test() -> None:
        async with serving(tmp_path) as server:
            publisher = await publish(server)
            viewer = await watch(server)
            await until(lambda: len(viewer.pictures) > 5, "pictures")
            lost = [_lose(client.connection, 0.05) for client in (publisher, viewer)]
            stream = server.app[HUB].get("live")
            assert stream is not None
            taken, seen = stream.stats().frames_in, len(viewer.pictures)
            await until(lambda: stream.stats().frames_in > taken + 150, "frames in")
            await until(lambda: len(viewer.pictures) > seen + 100, "pictures")
            assert all(count[0] > 5 for count in lost)
            assert stream.stats().state == "live"
            for client in (viewer, publisher):
                await client.connection.close()

    run(test())


def _lose(connection: RTCPeerConnection, share: float) -> list[int]:
    """Lose that share of the packets that a peer sends and gets from now on; how many it was."""
    transport = connection.getTransceivers()[0].receiver.transport
    send, take = transport._send_rtp, transport._handle_rtp_data
    dice, lost = random.Random(5), [0]

    async def sometimes_send(data: bytes) -> None:
        if dice.random() < share:
            lost[0] += 1
        else:
            await send(data)

    async def sometimes_take(data: bytes, arrival_time_ms: int) -> None:
        if dice.random() < share:
            lost[0] += 1
        else:
            await take(data, arrival_time_ms=arrival_time_ms)

    vars(transport).update(_send_rtp=sometimes_send, _handle_rtp_data=sometimes_take)
    return lost
