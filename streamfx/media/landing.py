"""A file that appears under its name only when it is whole."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from streamfx.errors import StreamFXError


class Landing:
    """A hidden file in the folder of the wanted one, which becomes it by `land`.

    Leaving the `with` block without landing removes it.

    Raises:
        StreamFXError: nothing can be written in that folder.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.working = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
        try:
            self.working.open("wb").close()
        except OSError as error:
            raise _cannot(target, error) from error

    def land(self, name: Path | None = None) -> Path:
        """Force the file to the disk and give it its name, or `name` in the same folder.

        Raises:
            StreamFXError: the disk or the folder refuses.
        """
        target = name or self.target
        try:
            with self.working.open("rb+") as file:
                os.fsync(file.fileno())
            self.working.replace(target)
        except OSError as error:
            raise _cannot(target, error) from error
        return target

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self.working.unlink(missing_ok=True)


def _cannot(path: Path, error: OSError) -> StreamFXError:
    return StreamFXError(f"cannot write {str(path)!r}: {error.strerror or error}")
