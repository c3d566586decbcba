"""Where each stage runs follows from the facts, and the reason is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

import graphs
from streamfx.device import decide as module
from streamfx.device.decide import Candidate, Choice, Facts, decide, probe
from streamfx.engines import Available, EngineOptions, Unavailable, backends
from streamfx.engines.errors import EngineError
from streamfx.engines.nvidia import Gpu, find_gpu

GPU = Gpu("NVIDIA Test 4090", (8, 9), cuda=(13, 1))
NO_GPU = Unavailable("no NVIDIA driver", "install it")
WORKS = Available("1", "a device", ("fp16",))
MISSING = Unavailable("it is not installed", "pip install it")
CPU = (Candidate("openvino", WORKS, True), Candidate("onnxruntime", WORKS, True))
RTX = Candidate("tensorrt-rtx", WORKS, True, True)
CUDA = Candidate("onnxruntime-cuda", WORKS, True)
ALL = Facts(GPU, (RTX, *CPU), nvdec=None, nvenc=None)


def places(choices: tuple[Choice, ...]) -> list[tuple[str, str, str]]:
    return [(choice.stage, choice.place, choice.by) for choice in choices]


def test_all_on_the_gpu() -> None:
    assert places(decide(ALL)) == [
        ("decode", "GPU", "NVDEC"),
        ("stylize", "GPU", "tensorrt-rtx"),
        ("encode", "GPU", "NVENC"),
    ]


def test_an_engine_for_frames_of_the_host_is_not_enough() -> None:
    decode, stylize, encode = decide(replace(ALL, candidates=(replace(RTX, resident=False), *CPU)))
    assert places((decode, stylize, encode)) == [
        ("decode", "CPU", "FFmpeg"),
        ("stylize", "GPU", "tensorrt-rtx"),
        ("encode", "CPU", "FFmpeg"),
    ]
    assert str(decode) == (
        "decode runs on the CPU by FFmpeg: tensorrt-rtx's engine for frames that stay on the GPU "
        "is not built; try: streamfx engines build --backend tensorrt-rtx"
    )


def test_a_machine_without_a_gpu_has_nothing_to_mend() -> None:
    missing = Candidate("tensorrt-rtx", NO_GPU, False)
    choices = decide(Facts(NO_GPU, (missing, *CPU), NO_GPU, NO_GPU))
    assert places(choices) == [
        ("decode", "CPU", "FFmpeg"),
        ("stylize", "CPU", "openvino"),
        ("encode", "CPU", "FFmpeg"),
    ]
    assert [choice.fix for choice in choices] == ["", "", ""]
    assert choices[0].why == "no NVIDIA driver"


@pytest.mark.parametrize(
    ("facts", "decode", "encode"),
    [
        (
            replace(ALL, nvdec=Unavailable("libnvcuvid.so.1 is not there", "the driver")),
            ("libnvcuvid.so.1 is not there", "the driver"),
            ("decode is not possible on the GPU: libnvcuvid.so.1 is not there", ""),
        ),
        (
            replace(ALL, nvenc=Unavailable("NVENC does not open", "another card")),
            ("encode is not possible on the GPU: NVENC does not open", ""),
            ("NVENC does not open", "another card"),
        ),
        (
            replace(ALL, candidates=(CUDA, *CPU)),
            ("the engine, onnxruntime-cuda, takes the host's memory alone", ""),
            ("the engine, onnxruntime-cuda, takes the host's memory alone", ""),
        ),
        (
            replace(ALL, candidates=(replace(RTX, ready=False), *CPU)),
            (
                "the engine, openvino, works on the CPU",
                "streamfx engines build --backend tensorrt-rtx",
            ),
            (
                "the engine, openvino, works on the CPU",
                "streamfx engines build --backend tensorrt-rtx",
            ),
        ),
    ],
)
def test_what_is_in_the_way_is_said(
    facts: Facts, decode: tuple[str, str], encode: tuple[str, str]
) -> None:
    choices = decide(facts)
    assert [choice.place for choice in choices if choice.stage != "stylize"] == ["CPU", "CPU"]
    assert (choices[0].why, choices[0].fix) == decode
    assert (choices[2].why, choices[2].fix) == encode


def test_the_better_engine_is_named_while_another_runs() -> None:
    _, stylize, _ = decide(replace(ALL, candidates=(replace(RTX, ready=False), *CPU)))
    assert (stylize.place, stylize.by) == ("CPU", "openvino")
    assert stylize.why.startswith("tensorrt-rtx is better, and is built beside it")


def test_no_back_end_at_all() -> None:
    gone = tuple(replace(candidate, found=MISSING, ready=False) for candidate in CPU)
    with pytest.raises(EngineError, match="openvino: it is not installed"):
        decide(replace(ALL, candidates=gone))


def test_probing_this_machine() -> None:
    graph = graphs.generator().SerializeToString()
    facts = probe(backends(), graph, (48, 64), EngineOptions())
    assert facts.gpu == find_gpu()
    ready = {candidate.name for candidate in facts.candidates if candidate.ready}
    assert {"openvino", "onnxruntime"} & ready
    if isinstance(facts.gpu, Unavailable):
        assert facts.nvdec == facts.nvenc == facts.gpu
    decide(facts)


def test_libraries_and_codecs_that_do_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a card without an encoder: the libraries are there and no session opens."""
    if not isinstance(find_gpu(), Unavailable):
        pytest.skip("there is a GPU")
    monkeypatch.setattr(module, "find_gpu", lambda: GPU)
    facts = probe((), b"", (48, 64), EngineOptions())
    assert facts.nvdec is not None
    assert facts.nvenc is not None
    assert "is not there" in facts.nvdec.reason
    monkeypatch.setattr(module, "_missing", lambda _library: None)
    facts = probe((), b"", (48, 64), EngineOptions())
    assert facts.nvdec is not None
    assert facts.nvenc is not None
    assert facts.nvdec.reason.startswith("NVDEC does not open: ")
    assert facts.nvenc.reason.startswith("NVENC does not open for h264: ")
    facts = probe((), b"", (48, 64), EngineOptions(), decoder="ffv1", codec="vp9")
    assert facts.nvdec == Unavailable("FFmpeg's ffv1 does not decode on the GPU", "")
    assert facts.nvenc == Unavailable("NVENC does not encode vp9", "--codec h264, hevc, av1")
