"""Log lines."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from servers import config_of, running
from streamfx.server.logs import JsonFormatter, TextFormatter, without_secret


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    return logging.getLogger("x").makeRecord(
        "x", logging.WARNING, __file__, 1, message, arguments, None, extra=fields
    )


def test_json_lines_hold_every_field() -> None:
    line = JsonFormatter().format(record("it %s", "works", stream="a\nb", count=3))
    assert "\n" not in line
    found = json.loads(line)
    assert found.pop("time") > 0
    assert found == {
        "level": "warning", "logger": "x", "message": "it works", "stream": "a\nb", "count": 3,
    }  # fmt: skip


def test_a_line_of_text_stays_one_line() -> None:
    line = TextFormatter().format(record("from %s", "a\r\nb", stream="c\nd"))
    assert line.splitlines() == [line]
    assert line.endswith("warning from a\\r\\nb stream=c\\nd")


def test_an_error_brings_its_traceback() -> None:
    try:
        raise ValueError("reason")
    except ValueError as error:
        failed = record("failed")
        failed.exc_info = (type(error), error, error.__traceback__)
    assert "ValueError: reason" in json.loads(JsonFormatter().format(failed))["trace"]
    assert "ValueError: reason" in TextFormatter().format(failed)


def test_the_secret_of_a_session_and_the_query_are_not_logged(
    pack: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert without_secret("/whep/session/abc/d") == "/whep/session/…/d"
    assert without_secret("/whip/live") == "/whip/live"
    caplog.set_level(logging.INFO)
    with running(config_of(pack)) as server:
        server.request("DELETE", "/whip/session/s3cret?token=hush")
        server.request("GET", "/api/streams?token=hush")
    lines = [JsonFormatter().format(each) for each in caplog.records]
    asked = [json.loads(line) for line in lines if json.loads(line)["message"] == "request"]
    assert [(each["method"], each["path"], each["status"]) for each in asked] == [
        ("DELETE", "/whip/session/…", 404),
        ("GET", "/api/streams", 200),
    ]
    assert not any("s3cret" in line or "hush" in line for line in lines)
