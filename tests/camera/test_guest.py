"""A real loopback camera, in a small guest: see tests/rigs/vcam-rig.sh for what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RIG = Path(__file__).parents[1] / "rigs" / "vcam-rig.sh"
GUEST = Path(__file__).with_name("guest.py")
TOOLS = ("qemu-system-x86_64", "depmod", "cpio", "make", "gcc-12")
SECONDS = 900


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_the_camera_in_a_guest(tmp_path: Path) -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"the rig needs {', '.join(missing)}")
    command = f"{sys.executable} {GUEST} {tmp_path}"
    done = subprocess.run(
        ["bash", RIG, "--timeout", str(SECONDS), "--mem", "4096", tmp_path, command],
        capture_output=True,
        text=True,
        timeout=SECONDS + 60,
        check=False,
        env=os.environ | {"PYTHONSAFEPATH": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "GUEST OK" in done.stdout
