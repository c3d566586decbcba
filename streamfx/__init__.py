"""StreamFX turns video into a moving painting.

>>> from streamfx import Stylizer
>>> with Stylizer("great-wave") as stylizer:
...     painted = stylizer.picture(photo)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamfx.stylizer import Stylizer

    __version__: str

__all__ = ["Stylizer", "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded when first asked for, so that `import streamfx` stays light.
    if name == "Stylizer":
        from streamfx.stylizer import Stylizer

        return Stylizer
    if name == "__version__":
        from importlib.metadata import version

        return version("streamfx")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
