"""The styles that a running server offers: those of a pack, and pictures that users added."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.errors import InputError, StreamFXError
from streamfx.expressions import Term, parse_expression, resolve, vary
from streamfx.pictures import Picture
from streamfx.styles import DEFAULT, Pack, find_pack
from streamfx.thumbnails import encode_jpeg, scene_thumbnail

Kind = Literal["catalogue", "picture"]

_LONGEST_TITLE = 100


@dataclass(frozen=True)
class ShelfStyle:
    """What a list of styles says about one.

    Attributes:
        name: what style expressions call it.
        kind: of the pack's catalogue, or a picture that was added.
    """

    name: str
    title: str
    author: str
    year: str
    licence: str
    kind: Kind


@dataclass
class _Added:
    """A picture that became a style."""

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
        backend: restyles the thumbnails of added pictures.

    Raises:
        InputError: the pack cannot be used.
    """

    def __init__(
        self,
        pack: Pack | str | os.PathLike[str] | None = None,
        *,
        most_pictures: int = 64,
        backend: str = "auto",
    ) -> None:
        self.pack = pack if isinstance(pack, Pack) else find_pack(pack or DEFAULT)
        self._most = most_pictures
        self._backend = backend
        self._added: OrderedDict[str, _Added] = OrderedDict()
        self._lock = Lock()
        self._working = Lock()  # one picture is read or restyled at a time

    def styles(self) -> tuple[ShelfStyle, ...]:
        """All of them: the catalogue first, then the pictures, the latest used last."""
        catalogue = tuple(
            ShelfStyle(s.name, s.title, s.author, str(s.year), s.licence, "catalogue")
            for s in self.pack.styles
        )
        with self._lock:
            return catalogue + tuple(added.style for added in self._added.values())

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

    def remove(self, name: str) -> None:
        """Take an added picture away; streams that show it keep showing it.

        Raises:
            InputError: there is no such picture, or it is a style of the pack.
        """
        with self._lock:
            if self._added.pop(name, None) is None:
                raise InputError(f"no added picture is called {name!r}; a pack's styles stay")

    def thumbnail(self, name: str) -> bytes:
        """A JPEG: the painting of a catalogue style, or the demo scene in an added one.

        Raises:
            InputError: there is no such style.
            EngineError: the scene cannot be restyled.
        """
        with self._lock:
            added = self._added.get(name)
        if added is None:
            return self._painting(name)
        with self._working:
            if added.thumbnail is None:
                added.thumbnail = scene_thumbnail(self.pack, added.code, self._backend)
        return added.thumbnail

    def _code(self, term: Term) -> NDArray[np.float32]:
        with self._lock:
            added = self._added.get(term.name)
            if added is not None:
                self._added.move_to_end(term.name)
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
