"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from streamfx.errors import StreamFXError


def write_file(path: Path, data: bytes) -> None:
    """Give the file `path` this content; what was there stays until the new one is whole.

    Raises:
        StreamFXError: it cannot be written there.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise StreamFXError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
