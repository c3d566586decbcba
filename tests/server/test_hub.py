"""Who may open a stream, how many there are, and when they end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from servers import SECONDS, config_of
from streamfx.endpoints import parse_source
from streamfx.errors import InputError, StreamFXError
from streamfx.frames import Frame
from streamfx.live.shelf import StyleShelf
from streamfx.live.stats import NoObserver
from streamfx.server.hub import Busy, Hub, Taken
from streamfx.server.sources import Admitted, trusted
from videos import make_video


def in_hub(pack: Path, body: Callable[[Hub], Awaitable[None]], **settings: Any) -> None:
    """Run `body` with a hub; no thread of it may be left."""
    before = threading.active_count()

    async def main() -> None:
        hub = Hub(config_of(pack, **settings), StyleShelf(pack), NoObserver())
        try:
            async with asyncio.timeout(SECONDS):
                await body(hub)
        finally:
            await hub.close_all()

    asyncio.run(main())
    deadline = time.monotonic() + SECONDS
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def grey() -> Frame:
    return Frame(*(np.full(size, 90, np.uint8) for size in ((48, 64), (24, 32), (24, 32))))


def test_a_stream_has_one_publisher(pack: Path) -> None:
    async def body(hub: Hub) -> None:
        stream = hub.open("one")
        assert hub.get("one") is stream
        assert hub.get("two") is None
        assert [entry.origin for entry in hub.entries()] == ["whip"]
        with pytest.raises(Taken, match="'one' has a publisher"):
            hub.open("one")
        closed: list[str] = []
        hub.on_closed.append(closed.append)
        assert await hub.close("one")
        assert not await hub.close("one")
        assert (closed, hub.get("one"), stream.stats().state) == (["one"], None, "closed")
        assert hub.open("one") is not stream

    in_hub(pack, body)


def test_a_publisher_may_return_within_the_grace(pack: Path) -> None:
    async def body(hub: Hub) -> None:
        stream = hub.open("one")
        stream.push(grey(), time.monotonic())
        hub.changed.clear()
        hub.publisher_left("one")
        hub.publisher_left("one")  # once more, as when a connection fails after its end
        assert hub.changed.is_set()
        assert stream.stats().state == "paused"
        assert hub.open("one") is stream
        assert stream.stats().state == "live"
        with pytest.raises(Taken):
            hub.open("one")
        hub.publisher_left("none")

    in_hub(pack, body)


def test_the_grace_ends(pack: Path) -> None:
    async def body(hub: Hub) -> None:
        closed: list[str] = []
        hub.on_closed.append(closed.append)
        stream = hub.open("one")
        hub.publisher_left("one")
        await until(lambda: stream.stats().state == "closed")
        assert closed == ["one"]

    in_hub(pack, body, grace_seconds=0.05)


def test_no_more_streams_than_the_machine_holds(pack: Path) -> None:
    async def body(hub: Hub) -> None:
        first, second = hub.open("one"), hub.open("two")
        with pytest.raises(Busy, match="holds 2 streams"):
            hub.open("three")
        with pytest.raises(Busy):
            await hub.start(trusted("demo:"))
        hub.publisher_left("one")
        third = hub.open("three")  # what nobody sends to gives way
        assert {hub.get(name) for name in ("one", "two", "three")} == {None, second, third}
        await until(lambda: first.stats().state == "closed")
        with pytest.raises(Busy):
            hub.open("one")

    in_hub(pack, body, max_streams=2)


def test_a_style_that_cannot_be_used_leaves_nothing(pack: Path) -> None:
    async def body(hub: Hub) -> None:
        with pytest.raises(InputError, match="nothing-such"):
            await hub.start(trusted("demo:"), style="nothing-such")
        assert hub.entries() == []
        waiting = hub.open("one")
        hub.publisher_left("one")
        with pytest.raises(InputError):
            await hub.start(trusted("demo:"), style="nothing-such")
        assert hub.get("one") is waiting, "it need not have given way"

    in_hub(pack, body, max_streams=1)


def test_a_file_plays_and_its_stream_ends_with_it(pack: Path, tmp_path: Path) -> None:
    source = trusted(str(make_video(tmp_path / "clip.mp4", frames=5)))

    async def body(hub: Hub) -> None:
        closed: list[str] = []
        hub.on_closed.append(closed.append)
        entry = await hub.start(source, name="film", style="starry-night", strength=0.5)
        assert (entry.origin, hub.get("film")) == ("clip.mp4", entry.stream)
        assert (entry.stream.control.style, entry.stream.control.strength) == ("starry-night", 0.5)
        with pytest.raises(Taken):
            hub.open("film")
        hub.publisher_left("film")  # it has none
        assert entry.grace is None
        await until(lambda: closed)
        assert entry.stream.stats().frames_in == 5
        looped = await hub.start(source, loop=True)
        await until(lambda: looped.stream.stats().frames_in > 10)

    in_hub(pack, body)


def test_a_source_that_fails_says_why(
    pack: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(hub: Hub) -> None:
        await hub.start(trusted(str(tmp_path / "none.mp4")), name="film")
        await until(lambda: hub.get("film") is None)

    in_hub(pack, body)
    failed = next(record for record in caplog.records if record.message == "source failed")
    assert "'none.mp4' cannot be opened" in vars(failed)["reason"]


def test_a_stream_that_ends_badly_spoils_nothing(
    pack: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck(Admitted):
        def open(self, *_: Any) -> Any:
            return self

        def start(self) -> None: ...

        def stop(self) -> None:
            raise StreamFXError("the source hangs")

    async def body(hub: Hub) -> None:
        closed: list[str] = []
        hub.on_closed.append(closed.append)
        entry = await hub.start(Stuck(parse_source("demo:")), name="stuck")
        hub.open("other")
        await hub.close_all()
        assert sorted(closed) == ["other", "stuck"]
        assert entry.stream.stats().state == "closed"

    in_hub(pack, body)
    assert "a stream did not end cleanly" in caplog.text
