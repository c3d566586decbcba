"""Styles that a user keeps: any expression, under a name, in a pack of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamfx.errors import InputError
from streamfx.expressions import pack_named_by, parse_expression, resolve
from streamfx.manifest import GENERATOR, MAPPING, STYLE_ENCODER
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

    What is kept is the style's code: pictures that the expression names are not needed again.
    The user's pack holds a copy of the networks that draw it.

    Args:
        name: lower-case letters, digits and dashes.
        expression: see streamfx.expressions.
        title: what people read; by default the expression.
        pack: the pack that the expression is about; by default the one that it names.
        into: the name of a pack in `pack_folder()`, or a file; made when it is not there.
        overwrite: replace a style of this name.
        backend: draws the thumbnail.

    Raises:
        InputError: the expression or the name cannot be used, the name is taken, or the user's
            pack draws with other networks.
        EngineError: the thumbnail cannot be drawn.
    """
    terms = parse_expression(expression)
    source = find_pack(pack or pack_named_by(terms) or DEFAULT)
    code = resolve(terms, source)
    path = _path(into)
    old = Pack.open(path) if path.is_file() else None
    if old is not None:
        _check_room(old, source, name, overwrite)
    kept = [style for style in old.styles if style.name != name] if old is not None else []
    entry = {
        "name": name,
        "title": title or expression[:300],
        "author": "",
        "year": "",
        "source": f"{source.name}: {expression}"[:300],
        "licence": "",
        "code": [float(number) for number in code],
        "thumbnail": f"thumbnails/{name}.jpg",
    }
    members = {each: source.read(each) for each in _NETWORKS if each in source.manifest.members}
    for style in kept:
        if old is not None and style.thumbnail is not None:
            members[style.thumbnail] = old.read(style.thumbnail)
    members[f"thumbnails/{name}.jpg"] = scene_thumbnail(source, code, backend)
    manifest: dict[str, Any] = {
        "name": path.name.removesuffix(SUFFIX),
        "network": source.manifest.network.model_dump(mode="json"),
        "styles": [*(style.model_dump(mode="json") for style in kept), entry],
        "recipe": source.manifest.recipe,
        "figures": {},
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path.parent}: {error.strerror}") from error
    return write_pack(path, manifest, members)


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
