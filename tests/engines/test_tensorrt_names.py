"""Every name of TensorRT and of CUDA that the program uses exists in the real libraries.

The bindings of TensorRT 10 and 11 are read where `STREAMFX_TENSORRT_BINDINGS` names folders into
which their wheels were unpacked. Small libraries stand in for TensorRT itself,
so that they can be imported: nothing is computed.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamfx.engines import builder, cuda, tensorrt, tensorrt_engine

MODULES = (builder, tensorrt, tensorrt_engine)
FOLDERS = [f for f in os.environ.get("STREAMFX_TENSORRT_BINDINGS", "").split(os.pathsep) if f]
# What a variable or an attribute of that name holds.
CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "shapes": "IOptimizationProfile",
    "_runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
}
# Used only where the flavour can build ahead for other cards.
RTX_ONLY = {
    "ComputeCapability",
    "IBuilderConfig.num_compute_capabilities",
    "IBuilderConfig.set_compute_capability",
}
STUBS = {
    "nvinfer": "createInferBuilder_INTERNAL createInferRefitter_INTERNAL "
    "createInferRuntime_INTERNAL getBuilderPluginRegistry getPluginRegistry",
    "nvonnxparser": "createNvOnnxParser_INTERNAL createNvOnnxParserRefitter_INTERNAL "
    "getNvOnnxParserVersion",
    "nvinfer_plugin": "initLibNvInferPlugins",
}


def used_names() -> set[str]:
    """Dotted names below the TensorRT module, as "Builder.create_network"."""
    names = set()
    for module in MODULES:
        tree = ast.parse(Path(module.__file__ or "").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and (prefix := owner(node.value)) is not None:
                names.add(f"{prefix}{node.attr}")
    return names


def owner(value: ast.expr) -> str | None:
    """What the names of `value`'s attributes begin with, where it is something of TensorRT's."""
    if isinstance(value, ast.Name):
        if value.id == "trt":
            return ""
        return f"{CLASSES[value.id]}." if value.id in CLASSES else None
    if isinstance(value, ast.Attribute):
        if value.attr in CLASSES:
            return f"{CLASSES[value.attr]}."
        inner = owner(value.value)
        return None if inner is None else f"{inner}{value.attr}."
    return None


def used_cuda_names() -> set[str]:
    """Names of cuda.bindings.runtime, those given as words to `call` and `dispose` among them."""
    trees = [ast.parse(Path(each.__file__ or "").read_text()) for each in (cuda, tensorrt_engine)]
    return {name for tree in trees for name in cuda_names(tree)}


def cuda_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("cuda"):
            if last_name(node.value) == "runtime":
                yield node.attr
        # `dispose` may be an argument itself: it is called when something is forgotten.
        elif isinstance(node, ast.Call) and {"call", "dispose"} & {
            last_name(each) for each in (node.func, *node.args)
        }:
            for each in node.args:
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield f"cuda{each.value}"


def last_name(expression: ast.expr) -> str:
    return str(getattr(expression, "attr", getattr(expression, "id", "")))


def lacks(module: object, names: set[str]) -> set[str]:
    missing = set()
    for name in names:
        found: object | None = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is None:
            missing.add(name)
    return missing


def test_the_names_are_found() -> None:
    """The search itself: one name of each kind."""
    names = used_names()
    for name in (
        "Builder.create_network",
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "IExecutionContext.execute_async_v3",
        "ICudaEngine.num_io_tensors",
        *RTX_ONLY,
    ):
        assert name in names, name
    for name in ("cudaMalloc", "cudaGraphLaunch", "cudaEventDestroy", "cudaStreamCaptureMode"):
        assert name in used_cuda_names(), name


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT for RTX is not installed"
)
def test_names_of_tensorrt_for_rtx() -> None:
    assert lacks(importlib.import_module("tensorrt_rtx"), used_names()) == set()


@pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None, reason="cuda-bindings is not installed"
)
def test_names_of_cuda() -> None:
    assert lacks(importlib.import_module("cuda.bindings.runtime"), used_cuda_names()) == set()


@pytest.mark.skipif(not FOLDERS, reason="STREAMFX_TENSORRT_BINDINGS names no unpacked wheels")
@pytest.mark.parametrize("folder", FOLDERS)
def test_names_of_tensorrt(folder: str, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make the stand-ins with")
    (wheel,) = Path(folder).glob("tensorrt*_bindings-*.dist-info")
    major = wheel.name.split("-")[1].split(".")[0]
    for library, symbols in STUBS.items():
        code = tmp_path / f"{library}.c"
        code.write_text(
            "".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in symbols.split())
        )
        name = f"lib{library}.so.{major}"
        flags = ["-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(tmp_path / name)]
        subprocess.run([compiler, *flags, str(code)], check=True)
    script = (
        "import json, sys; sys.path[:0] = sys.argv[1:3]\n"
        "import tensorrt_bindings as trt\n"
        "from test_tensorrt_names import lacks, used_names\n"
        "print(json.dumps([trt.__version__, sorted(lacks(trt, used_names()))]))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, folder, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
    )
    assert found.returncode == 0, found.stderr
    version, missing = json.loads(found.stdout)
    assert version.startswith(major)
    assert set(missing) == RTX_ONLY
