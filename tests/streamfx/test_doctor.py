"""The doctor tells what is there from what is not, and whether the main job can run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import packs
from streamfx import machine
from streamfx.cli import main
from streamfx.device import decide
from streamfx.doctor import Check, State, can_run, examine
from streamfx.engines import Unavailable
from streamfx.engines.onnxruntime import ONNXRuntimeBackend
from streamfx.engines.openvino import OpenVINOBackend


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_machine_that_can(tmp_path: Path) -> None:
    checks = examine(str(packs.tiny_pack(tmp_path).path))
    assert can_run(checks)
    found = by_name(checks)
    assert "great-wave" in found["style pack"].found
    assert found["restyling"].found.startswith("a picture went through")
    assert "libx264" in found["encoders"].found
    assert machine.cpu_name() in found["CPU"].found
    for check in checks:
        assert check.found
        assert check.fix or check.state is State.OK


def test_a_bad_pack_stops_the_main_job(tmp_path: Path) -> None:
    (tmp_path / "bad.stylepack").write_bytes(b"no zip")
    checks = examine(str(tmp_path / "bad.stylepack"))
    assert not can_run(checks)
    assert by_name(checks)["style pack"].state is State.BROKEN
    assert "restyling" not in by_name(checks)


def test_one_back_end_is_enough_and_none_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = str(packs.tiny_pack(tmp_path).path)
    gone = Unavailable("it is not there", "pip install it")
    monkeypatch.setattr(OpenVINOBackend, "probe", lambda _self: gone)
    checks = examine(pack)
    assert can_run(checks)
    assert by_name(checks)["back end openvino"] == Check(
        "back end openvino", State.OPTIONAL, gone.reason, gone.fix
    )
    assert "onnxruntime fp32" in by_name(checks)["restyling"].found
    monkeypatch.setattr(ONNXRuntimeBackend, "probe", lambda _self: gone)
    checks = examine(pack)
    assert not can_run(checks)
    assert by_name(checks)["back end onnxruntime"].state is State.BROKEN
    assert by_name(checks)["restyling"].state is State.BROKEN


def test_each_stage_says_where_it_runs_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = str(packs.tiny_pack(tmp_path).path)
    monkeypatch.setattr(decide, "find_gpu", lambda: Unavailable("no card", "plug one in"))
    found = by_name(examine(pack))
    for stage in ("decode", "encode"):
        check = found[f"{stage} runs"]
        assert check == Check(check.name, State.OK, "on the CPU by FFmpeg: no card")
    assert found["stylize runs"].found.startswith("on the ")
    assert "the first in order that works here" in found["stylize runs"].found


def test_cameras_are_looked_for(tmp_path: Path) -> None:
    checks = by_name(examine(str(packs.tiny_pack(tmp_path).path)))
    assert {"cameras", "virtual camera"} <= checks.keys()


def test_cpu_facts_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor\t: 0\nmodel name\t: Fast CPU: 9000\nflags\t\t: fpu avx2 avx512_bf16 avx\n\n"
    )
    monkeypatch.setattr(machine, "_CPU_INFO", info)
    assert machine.cpu_name() == "Fast CPU: 9000"
    assert machine.cpu_instructions() == ("avx2", "avx512_bf16")
    monkeypatch.setattr(machine, "_CPU_INFO", tmp_path / "gone")
    assert machine.cpu_name()
    assert machine.cpu_instructions() == ()


def test_peak_memory_grows_with_what_is_held() -> None:
    before = machine.peak_memory()
    assert before is not None
    held = bytearray(before + 2**26)
    held[::4096] = b"x" * len(held[::4096])
    after = machine.peak_memory()
    assert after is not None
    assert after >= before + 2**26


def test_the_command_and_its_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--pack", str(packs.tiny_pack(tmp_path).path)]) == 0
    assert "Recorded video can be restyled here." in capsys.readouterr().out
    assert run(["doctor", "--json", "--pack", str(tmp_path / "gone.stylepack")]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is False
    assert {"broken"} <= {check["state"] for check in told["checks"]}


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    code = stopped.value.code or 0
    assert isinstance(code, int)
    return code
