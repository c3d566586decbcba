"""The styles that a running server offers.

Those of a pack, pictures that users added, and what they kept of what they found.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.errors import InputError, StreamFXError
from streamfx.expressions import Term, parse_expression, resolve, vary
from streamfx.manifest import GENERATOR, Style
from streamfx.pictures import Picture
from streamfx.saved import MINE, forget_style, open_mine, save_code
from streamfx.styles import DEFAULT, Pack, find_pack
from streamfx.stylizer import Stylizer
from streamfx.thumbnails import encode_jpeg, scene_thumbnail

log = logging.getLogger(__name__)

Kind = Literal["catalogue", "picture", "saved"]

_LONGEST_TITLE = 100
_PREVIEW_WIDTH = 320


@dataclass(frozen=True)
class ShelfStyle:
    """What a list of styles says about one.

    Attributes:
        name: what style expressions call it.
        kind: of the pack's catalogue, a picture that was added, or an expression that was kept.
    """

    name: str
    title: str
    author: str
    year: str
    licence: str
    kind: Kind


@dataclass
class _Added:
    """A picture or an expression that became a style."""

    style: ShelfStyle
    digest: str
    code: NDArray[np.float32]
    thumbnail: bytes | None = None


class StyleShelf:
    """Styles by name. Every method may be called from any thread.

    Args:
        pack: a pack, a file or a name; None = the default one.
        most_pictures: how many added ones are kept; of more, those that were used least
            recently go.
        mine: the name or file of the user's pack, which holds what is kept.
        backend: restyles thumbnails and previews.

    Raises:
        InputError: the pack cannot be used.
    """

    def __init__(
        self,
        pack: Pack | str | os.PathLike[str] | None = None,
        *,
        most_pictures: int = 64,
        mine: str | Path = MINE,
        backend: str = "auto",
    ) -> None:
        self.pack = pack if isinstance(pack, Pack) else find_pack(pack or DEFAULT)
        self._most = most_pictures
        self._backend = backend
        self._added: OrderedDict[str, _Added] = OrderedDict()
        self._mine = mine
        self._saved = _saved_for(self.pack, mine)
        self._lock = Lock()
        self._working = Lock()  # one picture is read or restyled at a time
        self._previewer: Stylizer | None = None

    def styles(self) -> tuple[ShelfStyle, ...]:
        """All: the catalogue, then what was kept, then the pictures, the latest used last."""
        catalogue = tuple(
            ShelfStyle(s.name, s.title, s.author, str(s.year), s.licence, "catalogue")
            for s in self.pack.styles
        )
        with self._lock:
            own = (*self._saved.values(), *self._added.values())
            return catalogue + tuple(added.style for added in own)

    def names(self) -> tuple[str, ...]:
        """Their names, in the same order."""
        return tuple(style.name for style in self.styles())

    def resolve(self, expression: str) -> NDArray[np.float32]:
        """The style code, float32 [S], of an expression (see streamfx.expressions).

        Raises:
            InputError: it is not one, names a style that is not here, or names a file.
        """
        terms = parse_expression(expression)
        if any(term.kind == "image" for term in terms):
            raise InputError(
                "image:PATH is not taken here; add the picture as a style first, and use the "
                "name that it gets"
            )
        codes = [np.float64(term.weight) * self._code(term) for term in terms]
        return np.asarray(np.sum(codes, axis=0), np.float32)

    def add_picture(self, rgb: Picture, title: str) -> ShelfStyle:
        """Make a style of a uint8 RGB picture [H, W, 3]; the same picture gives the same one.

        Raises:
            InputError: the pack has no style encoder, or it cannot read this picture.
            EngineError: the encoder failed.
        """
        digest = hashlib.sha256(repr(rgb.shape).encode() + rgb.tobytes()).hexdigest()
        with self._working:
            code = self.pack.encode(rgb)
        with self._lock:
            name = next(
                name
                for name in (f"picture-{digest[:length]}" for length in range(6, 65))
                if name not in self._added or self._added[name].digest == digest
            )
            if name not in self._added:
                said = " ".join(title.split())[:_LONGEST_TITLE] or name
                style = ShelfStyle(name, said, "", "", "", "picture")
                self._added[name] = _Added(style, digest, code)
            self._added.move_to_end(name)
            while len(self._added) > self._most:
                self._added.popitem(last=False)
            return self._added[name].style

    def save(self, name: str, expression: str, title: str = "") -> ShelfStyle:
        """Keep an expression as a style, here and in the user's pack.

        Raises:
            InputError: the name cannot be used or is taken, the expression is not known here,
                or the user's pack cannot be written.
            EngineError: its thumbnail cannot be drawn.
        """
        code = self.resolve(expression)
        if name in self.names():
            raise InputError(f"there is a style {name!r} already; take another name")
        with self._working:
            kept = save_code(
                name, code, self.pack,
                origin=expression, title=title, into=self._mine, backend=self._backend,
            )  # fmt: skip
        added = _saved(kept, kept.style(name))
        with self._lock:
            self._saved[name] = added
        return added.style

    def remove(self, name: str) -> None:
        """Take a picture or what was kept away; streams that show it keep showing it.

        Raises:
            InputError: there is no such style, or it is one of the pack.
        """
        with self._lock:
            found = self._added.pop(name, None) or self._saved.pop(name, None)
        if found is None:
            raise InputError(f"no added style is called {name!r}; a pack's styles stay")
        if found.style.kind == "saved":
            with self._working:
                forget_style(name, self._mine)

    def preview(self, rgb: Picture, expression: str) -> bytes:
        """A JPEG of a uint8 RGB picture [H, W, 3] in a style, at most 320 pixels wide.

        Raises:
            InputError: the expression is not known here.
            EngineError: the picture cannot be restyled.
        """
        code = self.resolve(expression)
        height = max(16, round(rgb.shape[0] * _PREVIEW_WIDTH / rgb.shape[1]))
        size = (_PREVIEW_WIDTH, height)
        small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        with self._working:
            if self._previewer is None:
                self._previewer = Stylizer(
                    self.pack.styles[0].name, pack=self.pack, backend=self._backend, threads=1
                )
            self._previewer.code = code
            return encode_jpeg(self._previewer.picture(small)[:, :, ::-1])

    def thumbnail(self, name: str) -> bytes:
        """A JPEG: the painting of a catalogue style, or the demo scene in an added one.

        Raises:
            InputError: there is no such style.
            EngineError: the scene cannot be restyled.
        """
        with self._lock:
            added = self._added.get(name) or self._saved.get(name)
        if added is None:
            return self._painting(name)
        with self._working:
            if added.thumbnail is None:
                added.thumbnail = scene_thumbnail(self.pack, added.code, self._backend)
        return added.thumbnail

    def _code(self, term: Term) -> NDArray[np.float32]:
        with self._lock:
            if term.name in self._added:
                self._added.move_to_end(term.name)
            added = self._added.get(term.name) or self._saved.get(term.name)
        if added is None:
            return resolve((replace(term, weight=1.0),), self.pack)
        return added.code if term.seed is None else vary(added.code, term.seed, self.pack)

    def _painting(self, name: str) -> bytes:
        member = self.pack.style(name).thumbnail
        if member is None:
            return scene_thumbnail(self.pack, self.resolve(name), self._backend)
        data = self.pack.read(member)
        if member.endswith(".jpg"):
            return data
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise StreamFXError(f"the thumbnail of {name} in this style pack is damaged")
        return encode_jpeg(picture)


def _saved_for(pack: Pack, mine: str | Path) -> dict[str, _Added]:
    """What the user keeps, as far as the networks of this pack draw it."""
    try:
        kept = open_mine(mine)
    except InputError as error:
        log.warning("styles that were kept are not offered: %s", error)
        return {}
    if kept is None or kept.manifest.members[GENERATOR] != pack.manifest.members[GENERATOR]:
        return {}
    taken = {style.name for style in pack.styles}
    return {style.name: _saved(kept, style) for style in kept.styles if style.name not in taken}


def _saved(kept: Pack, style: Style) -> _Added:
    thumbnail = kept.read(style.thumbnail) if style.thumbnail is not None else None
    shown = ShelfStyle(style.name, style.title, "", "", "", "saved")
    return _Added(shown, "", style.vector, thumbnail)
