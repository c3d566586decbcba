"""Styles that a user keeps: any expression, under a name, in a pack of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamfx.brushwork import Brushwork
from streamfx.errors import InputError
from streamfx.expressions import pack_named_by, parse_expression, resolve
from streamfx.manifest import GENERATOR, MAPPING, STYLE_ENCODER, Style, brushwork_of
from streamfx.styles import DEFAULT, SUFFIX, Pack, find_pack, pack_folder, write_pack
from streamfx.thumbnails import scene_thumbnail

MINE = "mine"
_NETWORKS = (GENERATOR, STYLE_ENCODER, MAPPING)


def save_style(
    name: str,
    expression: str,
    *,
    title: str = "",
    pack: str | None = None,
    into: str | Path = MINE,
    overwrite: bool = False,
    backend: str = "auto",
) -> Pack:
    """Keep a style expression as a style of its own; it is then called `mine/NAME`.

    Args:
        expression: see streamfx.expressions.
        pack: the pack that the expression is about; by default the one that it names.
        name, title, into, overwrite, backend: see `save_code`.

    Raises:
        InputError: the expression cannot be used, and as `save_code`.
        EngineError: the thumbnail cannot be drawn.
    """
    terms = parse_expression(expression)
    source = find_pack(pack or pack_named_by(terms) or DEFAULT)
    code = resolve(terms, source)
    return save_code(
        name, code, source,
        origin=expression, title=title, into=into, overwrite=overwrite, backend=backend,
    )  # fmt: skip


def save_code(
    name: str,
    code: NDArray[np.float32],
    source: Pack,
    *,
    origin: str,
    title: str = "",
    into: str | Path = MINE,
    overwrite: bool = False,
    backend: str = "auto",
) -> Pack:
    """Keep a style code as a style of its own.

    What its expression named, pictures too, is not needed again. The user's pack holds a copy
    of the networks that draw it.

    Args:
        name: lower-case letters, digits and dashes.
        code: float32 [S].
        source: the pack whose networks draw it.
        origin: where the code comes from, an expression.
        title: what people read; by default the origin.
        into: the name of a pack in `pack_folder()`, or a file; made when it is not there.
        overwrite: replace a style of this name.
        backend: draws the thumbnail.

    Raises:
        InputError: the name cannot be used or is taken, the user's pack draws with other
            networks, or it cannot be written.
        EngineError: the thumbnail cannot be drawn.
    """
    path = _path(into)
    old = open_mine(into)
    if old is not None:
        _check_room(old, source, name, overwrite)
    kept = [style for style in old.styles if style.name != name] if old is not None else []
    entry: dict[str, Any] = {
        "name": name,
        "title": title or origin[:300],
        "author": "",
        "year": "",
        "source": f"{source.name}: {origin}"[:300],
        "licence": "",
        "code": [float(number) for number in code],
        "thumbnail": f"thumbnails/{name}.jpg",
    }
    members = {f"thumbnails/{name}.jpg": scene_thumbnail(source, code, backend)}
    paint = Brushwork.of(source).paint(code)
    if paint is not None:
        entry["brushwork"] = {"swatches": brushwork_of(name), "amount": paint.amount}
        members[brushwork_of(name)] = paint.swatches
    if old is not None:
        members |= _members(old, kept)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path.parent}: {error.strerror}") from error
    styles = [*(style.model_dump(mode="json") for style in kept), entry]
    return _write(path, source, styles, members)


def forget_style(name: str, mine: str | Path = MINE) -> None:
    """Take a style out of the user's pack; a pack without styles goes.

    Raises:
        InputError: there is no such style, or the pack cannot be written.
    """
    pack = open_mine(mine)
    if pack is None:
        raise InputError(f"nothing was kept in {_path(mine)} yet")
    pack.style(name)
    left = [style for style in pack.styles if style.name != name]
    if not left:
        pack.path.unlink(missing_ok=True)
        return
    _write(pack.path, pack, [style.model_dump(mode="json") for style in left], _members(pack, left))


def open_mine(mine: str | Path = MINE) -> Pack | None:
    """The user's pack; None where nothing was kept yet.

    Raises:
        InputError: it is not sound, or this is no name for one.
    """
    path = _path(mine)
    return Pack.open(path) if path.is_file() else None


def _members(pack: Pack, styles: Sequence[Style]) -> dict[str, bytes]:
    """What these styles of a pack have besides its networks."""
    named = [style.thumbnail for style in styles]
    named += [style.brushwork.swatches for style in styles if style.brushwork is not None]
    return {name: pack.read(name) for name in named if name is not None}


def _write(
    path: Path, source: Pack, styles: list[dict[str, Any]], members: dict[str, bytes]
) -> Pack:
    networks = {each: source.read(each) for each in _NETWORKS if each in source.manifest.members}
    manifest = {
        "name": path.name.removesuffix(SUFFIX),
        "network": source.manifest.network.model_dump(mode="json"),
        "styles": styles,
        "recipe": source.manifest.recipe,
        "figures": {},
    }
    return write_pack(path, manifest, {**networks, **members})


def _path(into: str | Path) -> Path:
    text = str(into)
    if text.endswith(SUFFIX):
        return Path(text)
    if text == DEFAULT or "/" in text:
        raise InputError(f"styles are kept in a pack of your own, such as {MINE}, not in {text!r}")
    return pack_folder() / (text + SUFFIX)


def _check_room(mine: Pack, source: Pack, name: str, overwrite: bool) -> None:
    if mine.manifest.members[GENERATOR] != source.manifest.members[GENERATOR]:
        raise InputError(
            f"the styles of {mine.path} are drawn by other networks than those of the pack "
            f"{source.name!r}; keep this style in another pack"
        )
    if not overwrite and any(style.name == name for style in mine.styles):
        raise InputError(
            f"{mine.path} has a style {name!r} already; take another name, or say to overwrite it"
        )
