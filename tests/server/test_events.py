"""Server-sent events as a client reads them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servers import Running, config_of, eventually, running
from streamfx.server import events
from streamfx.server.events import FEED


@pytest.fixture(scope="module")
def server(pack: Path) -> Iterator[Running]:
    with running(config_of(pack, max_streams=4, limits={"listeners": 3})) as found:
        yield found


@pytest.fixture(autouse=True)
def tidy(server: Running) -> Iterator[None]:
    yield
    server.run(server.hub.close_all)
    eventually(lambda: server.server.app[FEED].listeners == 0)


class Listener:
    """Reads the events of one response."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.answer = answer

    def next(self) -> tuple[str, Any] | None:
        """The next event and its data; None at the end."""
        kind = data = ""
        while line := self.answer.readline().decode():
            if line.startswith("event: "):
                kind = line[7:].strip()
            elif line.startswith("data: "):
                data = line[6:]
            elif line == "\n" and kind:
                return kind, json.loads(data)
        return None

    def until(self, kind: str, **wanted: Any) -> Any:
        """The data of the first event of a kind in which `wanted` stands."""
        while (event := self.next()) is not None:
            if event[0] == kind and wanted.items() <= event[1].items():
                return event[1]
        raise AssertionError(f"the events ended before {kind} with {wanted}")


@contextmanager
def listening(server: Running, query: str = "") -> Iterator[Listener]:
    connection = server.connect()
    try:
        connection.request("GET", f"/api/events{query}")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        yield Listener(answer)
    finally:
        connection.close()


def start(server: Running, name: str) -> None:
    made = server.request("POST", "/api/streams", body={"id": name, "source": "demo:"})
    assert made.status == 201


def test_every_second_the_state_of_every_stream(server: Running) -> None:
    start(server, "one")
    start(server, "two")
    with listening(server) as listener:
        seen: list[str] = []
        while min(seen.count("one"), seen.count("two")) < 3:
            event = listener.next()
            assert event is not None and event[0] == "stream"
            seen.append(event[1]["id"])
        shown = listener.until("stream", id="one")
    assert shown.keys() == server.request("GET", "/api/streams/one").json.keys()


def test_a_change_is_told_at_once(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PERIOD", 3600)  # by the clock, nobody would hear of it here
    with running(config_of(pack)) as server, listening(server) as listener:
        start(server, "one")
        listener.until("stream", id="one")
        for strength in (0.1, 0.2, 0.3):
            server.request("PATCH", "/api/streams/one", body={"strength": strength})
            listener.until("stream", strength=strength)


def test_a_stream_that_comes_and_one_that_goes(server: Running) -> None:
    with listening(server) as all_of_them, listening(server, "?stream=two") as only:
        start(server, "one")
        start(server, "two")
        all_of_them.until("stream", id="one")
        all_of_them.until("stream", id="two")
        server.request("DELETE", "/api/streams/one")
        assert all_of_them.until("closed") == {"id": "one"}
        server.request("DELETE", "/api/streams/two")
        assert all_of_them.until("closed") == {"id": "two"}
        heard = [only.next()]
        while heard[-1] is not None and heard[-1][0] != "closed":
            heard.append(only.next())
        assert {event[1]["id"] for event in heard if event} == {"two"}


def test_a_later_listener_hears_nothing_of_what_closed_before(server: Running) -> None:
    with listening(server) as first:
        start(server, "one")
        first.until("stream", id="one")
        server.request("DELETE", "/api/streams/one")
        first.until("closed", id="one")
        start(server, "two")
        with listening(server) as second:
            assert (second.next() or [None])[0] == "stream"


def test_listeners_are_bounded_and_leave_room_when_they_go(server: Running) -> None:
    with listening(server), listening(server), listening(server):
        refused = server.request("GET", "/api/events")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
        assert "3 clients" in refused.error
    # Nothing is sent while there is no stream but comments, by which their leaving is noticed.
    eventually(lambda: server.server.app[FEED].listeners == 0)
    with listening(server):
        pass


def test_a_listener_that_takes_nothing_is_dropped_with_its_connection(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_STALLED", 0.1)
    monkeypatch.setattr(events, "_event", lambda kind, data: b"x" * (8 << 20))
    with running(config_of(pack, source="demo:")) as server:
        connection = server.connect()
        connection.request("GET", "/api/events")
        eventually(lambda: server.server.app[FEED].listeners == 1)
        eventually(lambda: server.server.app[FEED].listeners == 0)
        # What the system holds for it comes to an end, and no end of a response is among it.
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            connection.getresponse().read()
        connection.close()


def test_listeners_are_told_when_the_server_ends(pack: Path) -> None:
    with running(config_of(pack, source="demo:")) as server:
        connection = server.connect()
        connection.request("GET", "/api/events")
        listener = Listener(connection.getresponse())
        listener.until("stream", id="demo")
    while listener.next() is not None:
        pass
    assert listener.answer.isclosed()  # the end was written, not only the connection lost
    connection.close()
