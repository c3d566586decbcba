"""Sinks of a server's streams: who may ask for which, and that none disturbs another."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ports import free_port
from servers import Running, config_of, eventually, running
from streamfx.errors import InputError
from streamfx.rtmp.server import RtmpServer
from streamfx.server.admission import Forbidden
from streamfx.server.config import MOST_SINKS, ServerConfig, load_config
from streamfx.server.sinks import SinkPolicy

SMALL = {"size": (160, 96), "enabled": False, "start_bitrate": 300_000}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An allowed folder, with a way out."""
    found = tmp_path / "shows"
    found.mkdir()
    (tmp_path / "outside").mkdir()
    (found / "way").symlink_to(tmp_path / "outside")
    (found / "link.mp4").symlink_to(tmp_path / "outside" / "other.mp4")
    (found / "other.mp4").symlink_to(found / "script.sh")
    return found


def policy(*folders: Path, **sinks: Any) -> SinkPolicy:
    return SinkPolicy(ServerConfig.model_validate({"sinks": {"folders": folders, **sinks}}))


@pytest.fixture
def server(pack: Path, folder: Path) -> Iterator[Running]:
    config = config_of(
        pack,
        live=SMALL,
        max_streams=3,
        sinks={
            "folders": [str(folder)],
            "protocols": ["tcp", "http+listen", "camera"],
            "private_addresses": True,
        },
    )
    with running(config) as found:
        yield found


def open_stream(server: Running, *sinks: str, **body: Any) -> Any:
    wanted = {"id": "show", "source": "demo:", "sinks": list(sinks), **body}
    return server.request("POST", "/api/streams", body=wanted)


def add(server: Running, sink: str) -> Any:
    return server.request("POST", "/api/streams/show/sinks", body={"sink": sink})


def sent(server: Running, number: str = "1") -> int:
    return int(server.request("GET", f"/api/streams/show/sinks/{number}").json["pictures"])


def pictures(path: Path) -> int:
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0))


# Who may ask for what


@pytest.mark.parametrize(
    "name",
    [
        "rtmp://example.org/app/key",
        "whip+https://example.org/whip/show",
        "https://example.org/ingest",
        "udp://192.0.0.9:9000",
        "tcp+listen://:9000",
        "camera:",
        "show.mp4",
        "file:/tmp/show.mp4",
        "live.m3u8",
    ],
)
def test_by_default_clients_may_ask_for_none(name: str) -> None:
    with pytest.raises(Forbidden):
        policy().admit(name)


def test_what_is_allowed_is_allowed_alone(folder: Path) -> None:
    some = policy(folder, protocols=("rtmps", "http+listen", "camera"))
    for name in ("rtmps://192.0.0.9/app/key", "http+listen://127.0.0.1:9000", "camera:"):
        some.admit(name)
    for name in ("show.mp4", f"file:{folder}/show.mkv#segment=60", "live.m3u8"):
        assert Path(some.admit(name).target).parent == folder.resolve()
    for name in ("rtmp://192.0.0.9/app/key", "tcp+listen://:9000"):
        with pytest.raises(Forbidden):
            some.admit(name)


@pytest.mark.parametrize(
    "name", ["../show.mp4", "way/show.mp4", "link.mp4", "/tmp/show.mp4", "way/../../show.mp4"]
)
def test_no_recording_is_made_outside_the_folder(folder: Path, name: str) -> None:
    with pytest.raises(Forbidden):
        policy(folder).admit(name)


@pytest.mark.parametrize("name", ["none/show.mp4", "other.mp4", "show.avi", "", "a\nb.mp4"])
def test_names_that_cannot_be_recorded_to(folder: Path, name: str) -> None:
    with pytest.raises(InputError):
        policy(folder).admit(name)


@given(st.text(max_size=80))
def test_no_name_leads_out_or_raises_anything_else(name: str) -> None:
    folder = Path(__file__).parent
    try:
        found = policy(folder).admit(name)
    except (Forbidden, InputError):
        return
    assert Path(found.target).is_relative_to(folder.resolve())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "192.168.0.1", "[fe80::1]"])
def test_private_addresses_are_allowed_by_themselves(host: str) -> None:
    name = f"rtmp://{host}/app/hush"
    with pytest.raises(Forbidden, match="private_addresses") as refused:
        policy(protocols=("rtmp",)).admit(name)
    assert "hush" not in str(refused.value)
    policy(protocols=("rtmp",), private_addresses=True).admit(name)


def test_the_environment_is_read_for_what_the_configuration_names_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEY", "live_s3cret")
    name = "rtmps://192.0.0.9/app/$KEY"
    with pytest.raises(InputError, match="not read here"):
        policy(protocols=("rtmps",)).admit(name)
    named = SinkPolicy(ServerConfig(source="demo:", to=(name,)))
    assert named.admit(name).target.endswith("live_s3cret")
    with pytest.raises(InputError):
        named.admit(name + "#bitrate=1M")


# Over HTTP


def test_a_sink_from_its_start_to_its_end(server: Running, folder: Path) -> None:
    made = open_stream(server, "show.mp4")
    assert made.status == 201, made.body
    (first,) = made.json["sinks"]
    assert (first["id"], first["sink"], first["error"]) == ("1", "show.mp4", "")
    second = add(server, "second.mkv")
    assert (second.status, second.headers["Location"]) == (201, "/api/streams/show/sinks/2")
    assert second.json["sink"] == "second.mkv"
    eventually(lambda: sent(server, "1") > 20 and sent(server, "2") > 20)
    listed = server.request("GET", "/api/streams/show").json["sinks"]
    assert [(sink["id"], sink["state"]) for sink in listed] == [("1", "sending"), ("2", "sending")]
    assert server.request("DELETE", "/api/streams/show/sinks/1").status == 204
    assert pictures(folder / "show.mp4") > 20
    for method in ("GET", "DELETE"):
        assert "no sink 1" in server.request(method, "/api/streams/show/sinks/1").error
    before = sent(server, "2")
    eventually(lambda: sent(server, "2") > before + 10)
    assert server.request("DELETE", "/api/streams/show").status == 204
    assert pictures(folder / "second.mkv") > before


@pytest.mark.parametrize(
    ("sink", "status", "said"),
    [
        ("rtmp://127.0.0.1/app/hush", 403, "sinks by rtmp: are not allowed here"),
        ("../show.mp4", 403, "outside the allowed folders"),
        ("show.avi", 400, "a recording's name ends in"),
        ("none/show.mp4", 400, "no folder for 'show.mp4'"),
        ("tcp://no-such-host.invalid:1", 201, ""),
        ("camera:/dev/no-such-device", 400, "no-such-device"),
        ("http+listen://example.org:9000", 400, "a listener needs an IP address"),
    ],
)
def test_refusals_say_why_and_leave_nothing(
    server: Running, sink: str, status: int, said: str
) -> None:
    answer = open_stream(server, "kept.mkv", sink)
    assert answer.status == status
    if status != 201:
        assert said in answer.error
        assert "hush" not in answer.error
        assert server.request("GET", "/api/streams").json == {"streams": []}
        assert open_stream(server).status == 201
        assert (add(server, sink).status, add(server, sink).error) == (status, answer.error)


def test_what_somebody_listens_on_is_taken(server: Running) -> None:
    assert open_stream(server, id="other").status == 201
    name = f"http+listen://127.0.0.1:{free_port()}"
    assert open_stream(server, name).status == 201
    taken = add(server, name)
    assert (taken.status, "cannot listen" in taken.error) == (409, True)


def test_sinks_are_bounded(server: Running) -> None:
    assert open_stream(server, *["show.mkv"] * MOST_SINKS).status == 201
    more = add(server, "show.mkv")
    assert (more.status, f"{MOST_SINKS} sinks" in more.error) == (503, True)
    assert server.request("DELETE", "/api/streams/show/sinks/1").status == 204
    assert add(server, "show.mkv").status == 201
    assert open_stream(server, *["a.mkv"] * (MOST_SINKS + 1), id="other").status == 400


def test_a_slow_sink_holds_up_nothing_else(server: Running) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.listen()
        name = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        assert open_stream(server, name, "show.mkv").status == 201
        taken, _ = deaf.accept()  # and it never reads
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        eventually(lambda: sent(server, "2") > 60)
        frames = server.request("GET", "/api/streams/show").json["stats"]["frames_in"]
        eventually(
            lambda: (
                server.request("GET", "/api/streams/show").json["stats"]["frames_in"] > frames + 30
            )
        )
        assert server.request("DELETE", "/api/streams/show/sinks/1").status == 204
        assert server.request("DELETE", "/api/streams/show").status == 204
        taken.close()


def test_a_sink_that_is_away_says_so_and_is_tried_again(server: Running) -> None:
    assert open_stream(server, f"tcp://127.0.0.1:{free_port()}").status == 201

    def state() -> Any:
        return server.request("GET", "/api/streams/show/sinks/1").json

    eventually(lambda: state()["state"] == "retrying")
    assert "refused" in state()["error"].lower()


# In the configuration


def test_a_key_of_the_configuration_is_used_and_never_shown(
    pack: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("KEY", "live_s3cret")
    port = free_port()
    name = f"rtmp://127.0.0.1:{port}/app/$KEY"
    config = config_of(pack, live=SMALL, source="demo:", to=[name])
    receiver = RtmpServer("127.0.0.1", port)
    route = receiver.route("app", "live_s3cret")
    try:
        with running(config) as server:
            assert "s3cret" not in config.model_dump_json()
            pipe = eventually(lambda: route.wait(1.0))
            (sink,) = eventually(lambda: server.request("GET", "/api/streams/demo").json["sinks"])
            assert sink["sink"] == f"rtmp://127.0.0.1:{port}/app/…"
            eventually(
                lambda: server.request("GET", "/api/streams/demo/sinks/1").json["pictures"] > 5
            )
            # A client may ask for it by the name that the configuration has.
            again = server.request("POST", "/api/streams/demo/sinks", body={"sink": name})
            assert again.status == 201
            answers = (server.request("GET", "/api/streams").body, again.body)
            pipe.close()
    finally:
        receiver.close()
    assert not any(b"s3cret" in body for body in answers)
    assert "s3cret" not in caplog.text
    assert "s3cret" not in "".join(str(vars(record)) for record in caplog.records)


def test_a_publishers_stream_has_its_sinks(
    pack: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sinks = [str(tmp_path / "evening.mkv"), str(tmp_path / "none" / "x.mkv"), "camera:/dev/none"]
    config = config_of(pack, live=SMALL, streams={"evening": {"sinks": sinks}})
    with running(config) as server:

        async def publish() -> None:
            server.hub.open("evening")

        server.run(publish)
        eventually(lambda: server.request("GET", "/api/streams/evening").json["sinks"])
        eventually(lambda: caplog.text.count("sink cannot be opened") == 2)
        (sink,) = server.request("GET", "/api/streams/evening").json["sinks"]
        assert sink["sink"] == "evening.mkv"


def test_configured_streams_play_from_the_start(pack: Path, tmp_path: Path) -> None:
    target = tmp_path / "one.mkv"
    streams = {"one": {"source": "demo:", "sinks": [str(target)]}, "two": {"source": "demo:"}}
    with running(config_of(pack, live=SMALL, max_streams=2, streams=streams)) as server:
        listed = server.request("GET", "/api/streams").json["streams"]
        assert [stream["id"] for stream in listed] == ["one", "two"]
        eventually(lambda: server.request("GET", "/api/streams/one/sinks/1").json["pictures"] > 5)
    assert pictures(target) > 5


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"to": ["a.mp4"]}, "give a source as well"),
        ({"source": "a.mp4", "streams": {"live": {}}}, "leave one out"),
        ({"streams": {"Evening": {}}}, "streams.Evening"),
        ({"streams": {"a": {"sink": "x"}}}, "streams.a.sink"),
        ({"max_streams": 1, "streams": {n: {"source": "demo:"} for n in "ab"}}, "max_streams"),
        ({"sinks": {"protocols": ["file"]}}, "sinks.protocols.0"),
    ],
)
def test_configurations_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        load_config(None, settings)


@pytest.mark.parametrize("name", ["show.avi", "gopher://x", "rtmp://h/app/$NO_SUCH_KEY"])
def test_a_configured_sink_that_is_none_is_said_at_the_start(pack: Path, name: str) -> None:
    with pytest.raises(InputError), running(config_of(pack, source="demo:", to=[name])):
        pass


def test_a_configured_sink_that_cannot_be_opened_is_said_at_the_start(pack: Path) -> None:
    config = config_of(pack, source="demo:", to=["camera:/dev/no-such-device"])
    with pytest.raises(InputError, match="no-such-device"), running(config):
        pass
