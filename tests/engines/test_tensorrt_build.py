"""Engines for RTX cards are really built, and a build that goes wrong says so."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import graphs
from streamfx import engines
from streamfx.engines import build as build_module
from streamfx.engines import tensorrt as tensorrt_module
from streamfx.engines.base import EngineOptions
from streamfx.engines.build import Job, build_plan
from streamfx.engines.cache import EngineCache, graph_digest
from streamfx.engines.errors import EngineError
from streamfx.engines.nvidia import find_gpu
from streamfx.engines.tensorrt import RTX, TENSORRT, Flavour, TensorRTBackend
from streamfx.engines.verify import verify_engine

SIZE = (96, 128)
GRAPH = graphs.generator().SerializeToString()
FP16 = EngineOptions(precision="fp16")

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None,
    reason="TensorRT for RTX is not installed: pip install 'streamfx[tensorrt-rtx]'",
)


def exported(width: str) -> bytes:
    torch = pytest.importorskip("torch", reason="the extra `training` is not installed")
    from streamfx.training.export import export_generator
    from streamfx.training.networks import WIDTHS, Generator

    torch.manual_seed(0)
    return export_generator(Generator(WIDTHS[width]))


@needs_rtx
@pytest.mark.parametrize("width", ["small", "large"])
def test_both_widths_build_for_every_card(width: str, tmp_path: Path) -> None:
    graph = exported(width)
    backend = TensorRTBackend(RTX, EngineCache(tmp_path))
    shares: list[float] = []

    def built(capabilities: tuple[int, ...], precision: Any, batch: int = 1) -> Path:
        return backend.build_for(
            graph,
            size=(180, 320),
            batch=batch,
            options=EngineOptions(precision=precision),
            capabilities=capabilities,
            progress=lambda _, share: shares.append(share),
        )

    fp16 = built((75, 86, 89, 120), "fp16")
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    key, plan = backend.cache.read(fp16)
    assert key.devices == ("sm75", "sm86", "sm89", "sm120")
    assert (key.graph, key.precision) == (graph_digest(graph), "fp16")
    built((89, 120), "bf16")
    built((86,), "fp16", batch=4)  # with an optimisation profile
    fp16.unlink()
    again = built((120, 89, 86, 75), "fp16")
    assert hashlib.sha256(backend.cache.read(again)[1]).digest() == hashlib.sha256(plan).digest()


@needs_rtx
@pytest.mark.parametrize(
    ("options", "capabilities", "size", "message"),
    [
        (FP16, (90,), SIZE, "TensorRT for RTX does not build for SM 90; it knows 75, 80, 86"),
        (EngineOptions(precision="bf16"), (75, 89), SIZE, "SM 75 has no bf16; use fp16"),
        (FP16, (), SIZE, "no GPU to build for .*--sm"),
        (FP16, (89,), (95, 128), "even"),
    ],
)
def test_what_cannot_be_built_is_refused(
    options: EngineOptions,
    capabilities: tuple[int, ...],
    size: tuple[int, int],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    gone = engines.Unavailable("there is no driver", "install it")
    monkeypatch.setattr(tensorrt_module, "find_gpu", lambda: gone)
    backend = TensorRTBackend(RTX, EngineCache(tmp_path))
    with pytest.raises(EngineError, match=message):
        backend.build_for(GRAPH, size=size, batch=1, options=options, capabilities=capabilities)
    assert not list(tmp_path.iterdir())


def broken_operator() -> bytes:
    model = graphs.generator()
    model.graph.node[0].op_type = "NoSuchOperator"
    return bytes(model.SerializeToString())


JOB = Job("tensorrt_rtx", *SIZE, batch=1, precision="fp16", capabilities=(89,))


@needs_rtx
@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (broken_operator(), "cannot read the graph: .*NoSuchOperator"),
        (GRAPH[:200], "not an ONNX graph"),
        (b"", "metadata"),
    ],
)
def test_a_bad_graph_is_an_error_of_the_build(graph: bytes, message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        build_plan(replace(JOB, precision="fp32"), graph)
    assert "\n" not in str(caught.value)


@needs_rtx
def test_open_sizes_without_a_profile_are_an_error() -> None:
    import tensorrt_rtx as trt

    from streamfx.engines.builder import build

    with pytest.raises(EngineError, match=r"cannot build the engine: .*profile"):
        build(trt, graphs.generator(), {}, (89,), lambda _, __: None)


def child(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Let `code` stand in for the builder's process."""
    package = folder / "stand_in.py"
    package.write_text(code)
    monkeypatch.setattr(build_module, "_BUILDER", "stand_in")
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.kill(os.getpid(), 11)", "ended with SIGSEGV"),
        ("raise SystemExit('out of luck')", "ended with exit code 1: out of luck"),
        ("print('TensorRT says hello')", "ended with exit code 0: it said nothing"),
        ("import time; time.sleep(60)", "stopped after 1 seconds; .*--timeout"),
        ("""print('{"error": "no room"}'); raise SystemExit(1)""", "^no room$"),
    ],
)
def test_a_build_that_goes_wrong_is_said(
    code: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child(monkeypatch, tmp_path, code)
    with pytest.raises(EngineError, match=message):
        build_plan(JOB, GRAPH, limit=1.0 if "sleep" in code else 60.0)


def test_the_builder_ends_with_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its standard input closes when the parent dies, however that happens."""
    (tmp_path / "graph.onnx").write_bytes(GRAPH)
    (tmp_path / "slow_trt.py").write_text("import time; time.sleep(120)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = [sys.executable, "-P", "-m", "streamfx.engines.builder", str(tmp_path)]
    job = Job("slow_trt", *SIZE, batch=1, precision="fp16", capabilities=())
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
    process.stdin.close()
    assert process.wait(60) == 1


@needs_rtx
def test_the_real_runtime_refuses_without_a_crash(tmp_path: Path) -> None:
    """Garbage, and an engine where there is no GPU: in a process that may die of it."""
    plan = build_plan(JOB, GRAPH)
    for name, data in (("garbage", b"no engine" * 500), ("cut", plan[:5000]), ("whole", plan)):
        (tmp_path / name).write_bytes(data)
    script = (
        "import sys; from pathlib import Path; import tensorrt_rtx as trt\n"
        "from streamfx.engines.tensorrt_engine import Plan\n"
        "from streamfx.engines.errors import EngineError\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    try: Plan(trt, path.read_bytes(), path.name); print('loaded', path.name)\n"
        "    except EngineError as error: print(error)\n"
    )
    names = [str(tmp_path / name) for name in ("garbage", "cut", "whole")]
    done = subprocess.run(
        [sys.executable, "-c", script, *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    garbage, cut, whole = [line for line in done.stdout.splitlines() if not line.startswith("[")]
    assert "TensorRT refuses garbage" in garbage
    assert "TensorRT refuses cut" in cut
    gone = isinstance(find_gpu(), engines.Unavailable)
    assert ("TensorRT refuses whole" if gone else "whole") in whole


@pytest.mark.gpu
@pytest.mark.parametrize("flavour", [RTX, TENSORRT], ids=lambda flavour: flavour.backend)
@pytest.mark.parametrize("width", ["small", "large"])
def test_on_a_card_it_computes_what_the_graph_says(
    flavour: Flavour, width: str, tmp_path: Path
) -> None:
    backend = TensorRTBackend(flavour, EngineCache(tmp_path))
    found = backend.probe()
    if isinstance(found, engines.Unavailable):
        pytest.skip(found.reason)
    graph = exported(width)
    for precision in found.precisions:
        options = EngineOptions(precision=precision)  # type: ignore[arg-type]
        backend.build(graph, size=SIZE, batch=1, options=options)
        (entry,) = backend.cache.entries()
        verdict = verify_engine(backend.cache, entry, graph)
        assert verdict.good, verdict.words
        assert "differs from fp32" in verdict.words
        backend.cache.clear()
