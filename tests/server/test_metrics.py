"""What Prometheus reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from servers import Running, config_of, eventually, running
from streamfx.frames import Frame

Key = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture(scope="module")
def server(pack: Path) -> Iterator[Running]:
    with running(config_of(pack)) as found:
        yield found


def samples(server: Running) -> dict[Key, float]:
    answer = server.request("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers.get_content_type() == "text/plain"
    families = text_string_to_metric_families(answer.body.decode())
    found: list[Sample] = [sample for family in families for sample in family.samples]
    return {(s.name, frozenset(s.labels.items())): s.value for s in found}


def key(name: str, **labels: str) -> Key:
    return f"streamfx_{name}", frozenset(labels.items())


def test_frames_and_stage_times_are_counted(server: Running) -> None:
    async def open_stream() -> None:
        server.hub.open("show")

    server.run(open_stream)
    stream = server.hub.get("show")
    assert stream is not None
    before = samples(server)
    assert before[key("streams", state="waiting")] == 1
    viewer = stream.subscribe("h264", lambda: None)
    number = 0
    while (samples(server).get(key("frames_out_total"), 0)) < 5:
        planes = (np.full(size, 90, np.uint8) for size in ((48, 64), (24, 32), (24, 32)))
        stream.push(Frame(*planes), time.monotonic())
        number += 1
        time.sleep(1 / 30)  # the pace of a camera
        assert number < 1000
    eventually(lambda: stream.stats().frames_in == number)
    found = samples(server)
    stats = stream.stats()
    assert found[key("frames_in_total")] == number
    assert found[key("frames_restyled_total")] >= 5
    assert found[key("key_frames_total", codec="h264", rung="full")] >= 1
    dropped = {labels: value for (name, labels), value in found.items() if "dropped" in name}
    assert all(dict(labels).keys() == {"reason"} for labels in dropped)
    for stage in ("wait", "restyle", "encode", "delay"):
        assert found[key("stage_seconds_count", stage=stage)] >= 5
        assert (
            found[key("stage_seconds_bucket", stage=stage, le="+Inf")]
            == found[key("stage_seconds_count", stage=stage)]
        )
    assert found[key("viewers", stream="show")] == 1
    assert found[key("bitrate_bps", stream="show", codec="h264", rung="full")] > 0
    assert found[key("fps", stream="show", direction="in")] > 0
    assert found[key("working_scale", stream="show")] in (1, 0.75, 0.5)
    assert key("audio_delay_seconds", stream="show") in found
    assert found[key("streams", state="live")] == 1
    # This viewer takes nothing: every picture that went out waits for it.
    assert 5 <= found[key("queue_depth", stream="show", queue="video")] <= stats.frames_out
    assert found[key("queue_depth", stream="show", queue="audio")] == 0
    viewer.close()
    server.run(lambda: server.hub.close("show"))
    after = samples(server)
    assert key("viewers", stream="show") not in after
    assert after[key("frames_in_total")] == number  # counters outlive their streams
    assert after[key("streams", state="live")] == 0


def test_the_process_is_measured_too(server: Running) -> None:
    found = samples(server)
    assert found["process_resident_memory_bytes", frozenset()] > 0
    assert found["process_open_fds", frozenset()] > 0


def test_the_newer_format_for_those_who_ask(server: Running) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = server.request("GET", "/metrics", headers=accept)
    assert answer.headers.get_content_type() == "application/openmetrics-text"
    families = list(openmetrics.text_string_to_metric_families(answer.body.decode()))
    assert {"streamfx_stage_seconds", "streamfx_streams"} <= {family.name for family in families}
