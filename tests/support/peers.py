"""Programs that tests talk to and that a machine may lack."""

import os
import shutil

import pytest


def require(program: str) -> str:
    """The path of a program; the test is skipped without it.

    Where STREAMFX_REQUIRE_PEERS is 1, as in CI, a missing program is a failure.
    """
    path = shutil.which(program)
    if path is None:
        reason = f"{program} is not installed"
        if os.environ.get("STREAMFX_REQUIRE_PEERS") == "1":
            pytest.fail(reason + " and STREAMFX_REQUIRE_PEERS=1 says that it must be")
        pytest.skip(reason)
    return path
