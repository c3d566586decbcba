"""The health check of the container images, run as they run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from servers import SECONDS, config_of, running

SCRIPT = Path(__file__).parents[2] / "docker" / "health.py"


def check(port: int) -> int:
    env = {**os.environ, "STREAMFX_SERVER__PORT": str(port)}
    return subprocess.run(
        [sys.executable, str(SCRIPT)], env=env, timeout=SECONDS, check=False
    ).returncode


@pytest.mark.parametrize("self_signed", [False, True])
def test_a_server_is_well_until_it_ends(pack: Path, self_signed: bool) -> None:
    with running(config_of(pack, tls={"self_signed": self_signed})) as server:
        port = server.port
        assert check(port) == 0
    assert check(port) == 1
