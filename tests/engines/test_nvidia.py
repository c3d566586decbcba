"""The driver is asked through ctypes: here, one that was compiled for the test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from streamfx.engines import Unavailable
from streamfx.engines.nvidia import Gpu, find_gpu

DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int *version) { *version = 13010; return 0; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int device) {
    strncpy(name, "NVIDIA Test 4090", length); return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 8 : attribute == 76 ? 9 : -1; return 0;
}
"""


def driver(folder: Path, *, init: int = 0, count: int = 2, source: str = DRIVER) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make a driver with")
    code, library = folder / "driver.c", folder / "libcuda.so.1"
    code.write_text(source)
    flags = ["-shared", "-fPIC", f"-DINIT={init}", f"-DCOUNT={count}"]
    subprocess.run([compiler, *flags, "-o", str(library), str(code)], check=True)
    return str(library)


def test_the_first_gpu_is_described(tmp_path: Path) -> None:
    gpu = find_gpu(driver(tmp_path))
    assert gpu == Gpu("NVIDIA Test 4090", (8, 9), cuda=(13, 1), count=2)
    assert gpu.sm == 89


@pytest.mark.parametrize(
    ("init", "count", "reason"),
    [(100, 1, "finds no GPU"), (0, 0, "finds no GPU"), (803, 1, "says error 803")],
)
def test_a_driver_without_a_gpu(init: int, count: int, reason: str, tmp_path: Path) -> None:
    found = find_gpu(driver(tmp_path, init=init, count=count))
    assert isinstance(found, Unavailable)
    assert reason in found.reason
    assert found.fix


def test_no_driver_and_another_library(tmp_path: Path) -> None:
    missing = find_gpu(str(tmp_path / "libcuda.so.1"))
    assert isinstance(missing, Unavailable)
    assert "no NVIDIA driver" in missing.reason
    other = find_gpu(driver(tmp_path, source="int other(void) { return 0; }"))
    assert isinstance(other, Unavailable)
    assert "not NVIDIA's driver" in other.reason
