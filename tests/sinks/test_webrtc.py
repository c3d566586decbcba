"""WHIP push and WHEP pull, to and from a real server of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import packs
from ports import free_port
from servers import config_of, running
from streamfx.capture import open_source
from streamfx.endpoints import parse_sink, parse_source
from streamfx.live import LiveSettings, LiveStream, StyleShelf
from streamfx.live.demo import DemoSource
from streamfx.rtc_client import with_level
from streamfx.sinks import open_sink
from watching import wait_for

TOKEN = "publish-token"


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[tuple[LiveStream, LiveStream]]:
    shelf = StyleShelf(packs.tiny_pack(tmp_path))
    settings = LiveSettings(precision="fp32", threads=1, enabled=False, keep_warm=True)
    sender = settings.model_copy(update={"size": (160, 96)})
    pair = LiveStream("sender", shelf, sender), LiveStream("receiver", shelf, settings)
    demo = DemoSource(pair[0])
    demo.start()
    yield pair
    demo.stop()
    for stream in pair:
        stream.close()


def test_a_stream_goes_to_a_server_and_comes_from_it(
    streams: tuple[LiveStream, LiveStream], tmp_path: Path
) -> None:
    said: list[str] = []
    config = config_of(
        tmp_path / "tiny.stylepack", tokens={"publish": TOKEN}, live={"enabled": False}
    )
    with running(config) as server:
        at = f"http://127.0.0.1:{server.port}"
        refused = open_sink(parse_sink(f"whip+{at}/whip/live"), streams[0], say=said.append)
        refused.start()
        wait_for(lambda: "401" in refused.status.error, "the refusal")
        refused.stop()
        name = f"whip+{at}/whip/live#token=$TOKEN"
        push = open_sink(parse_sink(name, {"TOKEN": TOKEN}), streams[0], say=said.append)
        push.start()
        wait_for(lambda: push.status.pictures > 5, "pictures that go out")
        pull = open_source(parse_source(f"whep+{at}/whep/live"), streams[1], say=said.append)
        pull.start()
        wait_for(lambda: streams[1].stats().frames_in > 10, "pictures that come in")
        assert streams[1].stats().size_in == (160, 96)
        push.stop()
        wait_for(lambda: server.hub.get("live").stats().state == "paused", "its goodbye")
        pull.stop()
    assert TOKEN not in "".join(said)


def test_a_server_that_comes_back_is_sent_to_again(
    streams: tuple[LiveStream, LiveStream], tmp_path: Path
) -> None:
    said: list[str] = []
    config = config_of(tmp_path / "tiny.stylepack", live={"enabled": False}, port=free_port())
    name = f"whip+http://127.0.0.1:{config.port}/whip/live"
    push = open_sink(parse_sink(name), streams[0], say=said.append)
    beside = open_sink(parse_sink(str(tmp_path / "beside.mkv")), streams[0])
    beside.start()
    with running(config):
        push.start()
        wait_for(lambda: push.status.pictures > 5, "pictures that go out")
    wait_for(lambda: push.status.state == "retrying", "its loss")
    with running(config) as server:
        wait_for(lambda: push.status.connects == 2, "its return")
        wait_for(
            lambda: (s := server.hub.get("live")) and s.stats().frames_in > 5, "pictures again"
        )
        push.stop()
    beside.stop()
    assert (beside.status.connects, beside.status.dropped) == (1, 0)


def test_a_server_that_is_not_there_is_said(streams: tuple[LiveStream, LiveStream]) -> None:
    said: list[str] = []
    port = free_port()
    push = open_sink(
        parse_sink(f"whip+http://127.0.0.1:{port}/whip/live"), streams[0], say=said.append
    )
    pull = open_source(
        parse_source(f"whep+http://127.0.0.1:{port}/whep/live"), streams[1], say=said.append
    )
    push.start()
    pull.start()
    wait_for(lambda: len(said) == 2)
    assert all("it cannot be reached" in text for text in said)
    push.stop()
    pull.stop()


def test_the_level_of_larger_pictures_is_offered() -> None:
    offer = "a=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\n"
    assert with_level(offer, 31) == offer
    assert "profile-level-id=42e028" in with_level(offer, 40)
