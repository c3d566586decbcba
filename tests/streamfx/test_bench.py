"""The benchmark measures the real parts and says what it measured; no test asserts a speed."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

import packs
from streamfx import machine
from streamfx.bench import Job, Result, Timing, measure
from streamfx.cli import main
from streamfx.errors import InputError
from streamfx.media.sizes import WantedSize


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a moving ramp, 96x64."""
    path = tmp_path_factory.mktemp("bench") / "clip.mp4"
    ramp = np.add.outer(np.arange(64), np.arange(96))[..., None] * (1, 2, 3)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(50):
            frame = av.VideoFrame.from_ndarray(((ramp + 4 * i) % 256).astype(np.uint8))
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def test_everything_is_measured_on_the_same_frames(clip: Path, tmp_path: Path) -> None:
    job = Job(clip, packs.tiny_pack(tmp_path), "great-wave", WantedSize(128, 80), 10, 2)
    shares: list[float] = []
    result = measure(job, lambda _label, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    info = result.info
    assert (info["size"], info["frames"], info["rounds"]) == ("128x80", 10, 2)
    assert (info["pack"], info["style"]) == ("tiny", "great-wave")
    assert len(result.engine.samples) == len(result.stylizer.samples) == 2 * 10
    assert len(result.pipeline.samples) == 2
    assert result.peer is not None
    assert len(result.peer.samples) == 2 * 3
    assert result.ratios()["engine"] == pytest.approx(result.engine.fps / result.peer.fps)
    # A Python with an engine and an encoder; the peer's and this process's memory stay out.
    assert 30 * 2**20 < result.memory < 2**30
    assert json.loads(json.dumps(result.as_dict()))["memory_bytes"] == result.memory


def test_timings_are_medians() -> None:
    timing = Timing((10.0, 20.0, 1000.0))
    assert timing.p50 == 20
    assert timing.fps == 50
    assert timing.p95 == pytest.approx(902)
    slow = Timing((400.0,))
    assert Result(timing, timing, timing, slow, 1).ratios() == {"engine": 20, "pipeline": 20}
    assert Result(timing, timing, timing, None, 1).ratios() == {}


def test_the_command_prints_json_and_a_table(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = packs.tiny_pack(tmp_path).path
    common = [*("bench", "--size", "96x64", "--frames", "4", "--rounds", "1", "--no-peer")]
    common += ["--input", str(clip), "--pack", str(pack), "--threads", "1"]
    run([*common, "--backend", "onnxruntime", "--json"], 0)
    found = json.loads(capsys.readouterr().out)
    assert (found["backend"], found["precision"], found["threads"]) == ("onnxruntime", "fp32", 1)
    assert found["peer"] is None
    assert found["cpu"] == machine.cpu_name()
    run([*common, "--precision", "fp32"], 0)
    page = capsys.readouterr().out
    assert "96x64" in page
    assert "peak memory of the pipeline" in page
    assert "the peer did not take part" in page


def test_without_an_input_the_demo_scene_is_restyled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = packs.tiny_pack(tmp_path).path
    run([*("bench", "--size", "96x64", "--frames", "3", "--rounds", "1", "--pack", str(pack))], 0)
    page = capsys.readouterr().out
    assert "3 frames, 1 rounds, style great-wave" in page
    assert "peer" in page


def test_bad_input(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = packs.tiny_pack(tmp_path)
    with pytest.raises(InputError, match="there is no file"):
        measure(Job(tmp_path / "gone.mp4", pack, "great-wave", WantedSize(96, 64)))
    options = ["--input", str(clip), "--pack", str(pack.path), "--frames", "2"]
    run(["bench", *options, "--style", "great-wav"], 2)
    assert "did you mean great-wave" in capsys.readouterr().err
    run(["bench", *options, "--size", "97x64"], 2)
    assert "even sides" in capsys.readouterr().err


def run(arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert (stopped.value.code or 0) == code
