"""WHEP over HTTP, with real peers that watch."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from rtc import SDP, Pictures, Tone, bearer, publish, serving, until, watch
from sdps import OFFER_OBS, OFFER_VIEWER
from streamfx.server.hub import HUB
from streamfx.server.sessions import judge
from streamfx.server.signalling import sessions


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


@pytest.mark.parametrize(
    ("publishes", "watches", "sent"),
    [
        ("vp8", ("h264", "vp8"), "H264"),
        ("h264", ("vp8",), "VP8"),
        ("h264", ("vp8", "h264"), "H264"),
    ],
)
def test_watching(tmp_path: Path, publishes: str, watches: tuple[str, ...], sent: str) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            publisher = await publish(server, audio=Tone(), codec=publishes)
            viewer = await watch(server, codecs=watches)
            names = [line for line in viewer.answer.splitlines() if line.startswith("a=rtpmap")]
            assert sent in names[0]
            assert "rtx" in names[1]
            await until(lambda: len(viewer.pictures) > 10, "pictures")
            await until(lambda: len(viewer.sounds) > 10, "sound")
            assert (viewer.pictures[0].width, viewer.pictures[0].height) == (160, 96)
            assert ("watch", "connected") in sessions(server.app)
            stream = server.app[HUB].get("live")
            assert stream is not None
            assert stream.stats().viewers == 1

            async with server.http.delete(server.url + viewer.location) as response:
                assert response.status == 200
            await until(lambda: viewer.ended == {"video", "audio"}, "being told")
            assert stream.stats().viewers == 0
            await publisher.connection.close()

    run(test())


def test_a_viewer_may_want_no_sound(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            publisher = await publish(server, audio=Tone())
            viewer = await watch(server, sound=False)
            await until(lambda: len(viewer.pictures) > 5, "pictures")
            await viewer.connection.close()
            await until(lambda: ("watch", "connected") not in sessions(server.app), "the end")
            await publisher.connection.close()

    run(test())


def test_when_the_stream_ends_viewers_are_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            publisher = await publish(server)
            viewer = await watch(server)
            await until(lambda: len(viewer.pictures) > 5, "pictures")
            await server.app[HUB].close("live")
            await until(lambda: viewer.connection.connectionState == "closed", "being told")
            await until(lambda: publisher.connection.connectionState == "closed", "that too")
            await until(lambda: not sessions(server.app), "the sessions' end")

    run(test())


def test_when_the_server_ends_everybody_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            publisher = await publish(server)
            viewer = await watch(server)
            await until(lambda: len(viewer.pictures) > 5, "pictures")
        await until(lambda: "video" in viewer.ended, "the viewer's end")
        await until(lambda: publisher.connection.connectionState == "closed", "the publisher's")

    run(test())


@pytest.mark.parametrize(
    ("offer", "status"),
    [
        (OFFER_OBS, 406),
        ("nonsense", 400),
        (OFFER_VIEWER.replace("VP8", "VP9").replace("H264", "AV1"), 406),
    ],
)
def test_what_is_refused(tmp_path: Path, offer: str, status: int) -> None:
    async def test() -> None:
        async with serving(tmp_path) as server:
            url = f"{server.url}/whep/live"
            async with server.http.post(url, data=offer, headers=SDP) as response:
                assert response.status == status
                assert response.content_type == "text/plain"

    run(test())


def test_a_stream_that_is_not_on_the_air_and_a_full_server(tmp_path: Path) -> None:
    tokens = {"watch": "watch-it"}

    async def test() -> None:
        async with serving(tmp_path, max_viewers=1, tokens=tokens) as server:
            url, headers = f"{server.url}/whep/live", SDP | bearer("watch-it")
            async with server.http.post(url, data=OFFER_VIEWER, headers=headers) as response:
                assert response.status == 404
                assert "not on the air" in await response.text()
            publisher = await publish(server, video=Pictures())
            async with server.http.post(url, data=OFFER_VIEWER, headers=SDP) as response:
                assert response.status == 401
            viewer = await watch(server, token="watch-it")
            await until(lambda: viewer.connection.connectionState == "connected", "connecting")
            async with server.http.post(url, data=OFFER_VIEWER, headers=headers) as response:
                assert response.status == 503
                assert "Retry-After" in response.headers
            await viewer.connection.close()
            await until(lambda: len(sessions(server.app)) == 1, "the viewer's end")
            again = await watch(server, token="watch-it")
            for client in (again, publisher):
                await client.connection.close()

    run(test())


@pytest.mark.parametrize(
    ("direction", "state", "age", "silence", "verdict"),
    [
        ("publish", "connecting", 14, None, "well"),
        ("publish", "connecting", 16, None, "not connected"),
        ("watch", "connecting", 16, None, "not connected"),
        ("publish", "connected", 100, 0.1, "well"),
        ("publish", "connected", 100, 3.5, "silent"),
        ("publish", "connected", 100, 11, "gone"),
        ("publish", "connected", 10, None, "well"),
        ("publish", "connected", 30, None, "gone"),
        ("publish", "closed", 1, 0.1, "gone"),
        ("watch", "connected", 1000, None, "well"),
        ("watch", "connected", 1000, 8, "well"),
        ("watch", "connected", 1000, 21, "gone"),
    ],
)
def test_when_a_session_is_over(
    direction: Any, state: Any, age: float, silence: float | None, verdict: str
) -> None:
    assert judge(direction, state, age=age, silence=silence, handshake=15) == verdict
