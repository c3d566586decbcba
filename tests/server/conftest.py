"""A small style pack for all tests of the server."""

from pathlib import Path

import pytest

import packs


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    packs.tiny_pack(folder)
    return folder / "tiny.stylepack"
