"""`streamfx serve` as a user runs it: where it listens, signals, refusals."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import packs
from videos import make_video

COMMAND = [sys.executable, "-m", "streamfx.cli", "serve"]
SECONDS = 120  # that anything may take on a busy machine
TOKENS = ("publish-me", "watch-me-", "control-me")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    packs.tiny_pack(folder)
    return folder / "tiny.stylepack"


def serve(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=folder,
    )


class Served:
    """A server in a process of its own, once it said that it is ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.said = ""
        while "ready" not in self.said:
            line = process.stdout.readline()
            assert line, f"it ended before it was ready: {self.said}"
            self.said += line
        self.address = re.search(r"^studio +(\S+)/$", self.said, re.MULTILINE)[1]  # type: ignore[index]
        self.port = int(urlsplit(self.address).port or 0)

    def get(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        connection.request("GET", path)
        return connection.getresponse()


@contextmanager
def serving(
    folder: Path, pack: Path, *arguments: object, env: dict[str, str] | None = None
) -> Iterator[Served]:
    options = ("--pack", pack, "--backend", "onnxruntime", "--threads", "1", "--port", "0")
    process = subprocess.Popen(
        [*COMMAND, *map(str, (*options, *arguments))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, **(env or {})},
    )
    # So that a server that says nothing fails the test and does not hang it.
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        yield Served(process)
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def ended(served: Served, number: signal.Signals) -> tuple[int, str]:
    """The exit code after a signal, and what was logged."""
    served.process.send_signal(number)
    _, log = served.process.communicate(timeout=SECONDS)
    return served.process.returncode, log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_a_signal_ends_it_well(
    tmp_path: Path, pack: Path, number: signal.Signals
) -> None:
    with serving(tmp_path, pack, "--source", "demo:", "--style", "starry-night") as served:
        assert [line.split()[0] for line in served.said.splitlines()] == [
            "studio", "WHIP", "WHEP", "ready;",
        ]  # fmt: skip
        assert f"{served.address}/whip/STREAM" in served.said
        (stream,) = json.load(served.get("/api/streams"))["streams"]
        assert (stream["id"], stream["source"]) == ("demo", "demo:")
        assert stream["style"] == "starry-night"
        listener = served.get("/api/events")
        assert listener.readline() == b"event: stream\n"
        code, log = ended(served, number)
        assert (code, "Traceback" in log) == (0, False), log
        assert "stream closed stream=demo" in log
        listener.read()  # raises IncompleteRead where the listener was not told


def test_signals_in_a_row_end_it_as_well_as_one(tmp_path: Path, pack: Path) -> None:
    with serving(tmp_path, pack, "--source", "demo:") as served:
        for _ in range(3):
            served.process.send_signal(signal.SIGINT)
        code, log = ended(served, signal.SIGTERM)
        assert (code, "Traceback" in log) == (0, False), log


def test_a_source_that_waits_for_the_network_does_not_hold_it(tmp_path: Path, pack: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/a.mp4"
        with serving(tmp_path, pack, "--source", address) as served:
            peer, _ = silent.accept()
            with peer:
                assert peer.recv(1)  # it asks, and gets no answer
                code, log = ended(served, signal.SIGTERM)
                assert (code, "Traceback" in log) == (0, False), log


def test_a_file_that_plays_again_and_again(tmp_path: Path, pack: Path) -> None:
    make_video(tmp_path / "clip.mp4", frames=3)
    with serving(tmp_path, pack, "--source", "clip.mp4", "--loop") as served:
        frames = 0
        while frames < 10:
            (stream,) = json.load(served.get("/api/streams"))["streams"]
            assert (stream["id"], stream["source"]) == ("live", "clip.mp4")
            frames = stream["stats"]["frames_in"]


def test_tokens_from_the_environment_and_json_lines(tmp_path: Path, pack: Path) -> None:
    env = {
        "STREAMFX_SERVER__TOKENS__CONTROL": TOKENS[2],
        "STREAMFX_SERVER__TOKENS__WATCH": TOKENS[1],
        "STREAMFX_SERVER__LOG__FORMAT": "json",
    }
    with serving(tmp_path, pack, env=env) as served:
        assert served.get("/api/streams").status == 401
        code, log = ended(served, signal.SIGTERM)
        lines = [json.loads(line) for line in log.splitlines()]
        assert code == 0
        assert [(line["path"], line["status"]) for line in lines if "path" in line] == [
            ("/api/streams", 401)
        ]


def test_https_says_how_its_certificate_is_known(tmp_path: Path, pack: Path) -> None:
    with serving(tmp_path, pack, "--self-signed") as served:
        assert served.address.startswith("https://127.0.0.1:")
        assert re.search(r"SHA-256 is ([0-9A-F]{2}:){31}[0-9A-F]{2}\n", served.said)


def test_a_port_that_is_taken(tmp_path: Path, pack: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = serve(tmp_path, "--pack", pack, "--port", port)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"streamfx: port {port} on 127.0.0.1 is taken; choose another one with --port\n"
    )


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, pack: Path) -> None:
    (tmp_path / "bad.toml").write_text("[server]\nport = 'high'\n")
    cases: list[tuple[tuple[object, ...], str]] = [
        (("--host", "0.0.0.0"), "a token for publish, watch, control"),
        (("--style", "no-such-style", "--pack", pack), "no style 'no-such-style'"),
        (("--pack", "no-such-pack"), "no style pack"),
        (("--token-watch", "short"), "wrong at tokens.watch"),
        (("--tls-cert", "c.pem", "--tls-key", "k.pem", "--pack", pack), "no TLS file 'c.pem'"),
        (("--config", "bad.toml"), "wrong at port"),
    ]
    for arguments, reason in cases:
        done = serve(tmp_path, *arguments)
        assert (done.returncode, reason in done.stderr) == (2, True), done.stderr
        assert done.stderr.startswith("streamfx: ") and done.stderr.count("\n") == 1


def test_the_configuration_is_shown_without_its_secrets(tmp_path: Path) -> None:
    (tmp_path / "streamfx.toml").write_text("[server]\nport = 9\nmax_viewers = 7\n")
    done = serve(
        tmp_path,
        *("--show-config", "--port", 8, "--token-publish", TOKENS[0], "--loop"),
        *("--allow-folder", tmp_path, "--allow-protocol", "rtsp", "--allow-protocol", "https"),
        *("--host", "0.0.0.0", "--insecure", "--source", "rtsp://me:hush@camera.example/1"),
        *("--to", "rtmps://live.example/app/hush"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert (shown["port"], shown["max_viewers"], shown["loop"]) == (8, 7, True)
    assert shown["sources"] == {
        "protocols": ["rtsp", "https"],
        "folders": [str(tmp_path)],
        "private_addresses": False,
    }
    assert shown["to"] == ["rtmps://live.example/app/…"]
    assert shown["source"] == "rtsp://camera.example/1"
    assert shown["tokens"]["publish"] == "**********"
    assert "hush" not in done.stdout and TOKENS[0] not in done.stdout
