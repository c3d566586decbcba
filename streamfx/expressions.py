"""Style expressions: what a user writes to say which style, or which mix of styles.

    great-wave                              a style of the pack
    default/great-wave                      the same, naming the pack
    great-wave:0.6+starry-night:0.4         a mix; weights are divided by their sum
    great-wave+starry-night                 a term without a weight weighs 1
    image:picture.jpg                       a picture, read by the pack's style encoder
    image:my pic.jpg:0.5+great-wave:0.5     a mix of both
    latent:7                                a style nobody painted: number 7 of 4,294,967,296
    great-wave~7                            a variation of one; every number is another

A plain picture path ends at the next `+`, and what follows its last colon is its weight if it
is a number, else part of the path (`image:C:\\pic.jpg` is a path). A path that would be
misread stands in double quotes, in which `""` is one quote: `image:"a+b:2.jpg":0.5`. Space
around terms, paths and weights does not count.

A kind of term is a word before a colon.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from streamfx.errors import InputError
from streamfx.pictures import read_picture

if TYPE_CHECKING:
    from streamfx.styles import Pack

Kind = Literal["style", "image", "latent"]

RESERVED = frozenset({"image", "latent"})
MOST_TERMS = 16
MOST_CHARACTERS = 4000

_WEIGHT = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
_STYLE = re.compile(r"([a-z0-9-]+/)?[a-z0-9-]+")
_SEED = re.compile(r"[0-9]{1,10}")
_PART = re.compile(r'(?:"(?:[^"]|"")*"|[^+"])*')
_QUOTED = re.compile(r'"((?:[^"]|"")*)"\s*(?::(.*))?', re.DOTALL)
_LARGEST_WEIGHT = 1e6
MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Term:
    """One part of a mix.

    Attributes:
        kind: what `name` is.
        name: a style's name, with or without its pack; or a picture's path; or nothing.
        weight: 0..1; the weights of an expression sum to 1.
        seed: which latent style, or which variation of the style; None = the style itself.
    """

    kind: Kind
    name: str
    weight: float = 1.0
    seed: int | None = None


def parse_expression(text: str) -> tuple[Term, ...]:
    """Read a style expression.

    Raises:
        InputError: it is not one; the message names the part that is wrong and its position.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"a style expression has at most {MOST_CHARACTERS} characters")
    terms = [_parse_term(part, position) for part, position in _split(text)]
    if len(terms) > MOST_TERMS:
        raise InputError(f"a style expression mixes at most {MOST_TERMS} styles, not {len(terms)}")
    total = sum(term.weight for term in terms)
    if total <= 0:
        raise InputError(f"the weights in the style expression {text!r} are all 0")
    if abs(total - 1) < 1e-9:  # dividing again would only move the last digit
        return tuple(terms)
    return tuple(replace(term, weight=term.weight / total) for term in terms)


def format_expression(terms: Iterable[Term]) -> str:
    """The text that `parse_expression` reads as `terms`, whose weights sum to 1."""
    parts = list(terms)
    if len(parts) == 1:
        return _format_name(parts[0])
    return "+".join(
        f"{_format_name(term)}:{np.format_float_positional(term.weight, trim='-')}"
        for term in parts
    )


def pack_named_by(terms: Iterable[Term]) -> str | None:
    """The pack that an expression names, None if it names none.

    Raises:
        InputError: it names more than one.
    """
    packs = {term.name.partition("/")[0] for term in terms if _names_pack(term)}
    if len(packs) > 1:
        raise InputError(
            f"a mix stays inside one style pack; this one names {', '.join(sorted(packs))}"
        )
    return next(iter(packs), None)


def resolve(terms: Iterable[Term], pack: Pack) -> NDArray[np.float32]:
    """The style code, float32 [S], of an expression: the weighted sum of its terms' codes.

    Raises:
        InputError: the pack lacks a style or the style encoder, the expression names another
            pack, or a picture cannot be read.
    """
    parts = tuple(terms)
    named = pack_named_by(parts)
    if named not in (None, pack.name):
        raise InputError(f"the style pack {named!r} is not in use; the one in use is {pack.name!r}")
    codes = [np.float64(term.weight) * _code(term, pack) for term in parts]
    return np.asarray(np.sum(codes, axis=0), np.float32)


def _code(term: Term, pack: Pack) -> NDArray[np.float32]:
    if term.kind == "image":
        return pack.encode(read_picture(term.name))
    if term.kind == "latent":
        assert term.seed is not None
        return pack.mapping(term.seed)
    code = pack.style(term.name.rpartition("/")[2]).vector
    return code if term.seed is None else vary(code, term.seed, pack)


def vary(code: NDArray[np.float32], seed: int, pack: Pack) -> NDArray[np.float32]:
    """The code, float32 [S], of variation number `seed` of a style with this code.

    Raises:
        InputError: the pack has no mapping network.
    """
    return np.asarray(code + pack.mapping.variation(seed), np.float32)


def _names_pack(term: Term) -> bool:
    return term.kind == "style" and "/" in term.name


def _split(text: str) -> Iterator[tuple[str, int]]:
    """The parts between plus signs outside quotes, each with its position, from 1."""
    start = 0
    while True:
        end = _PART.match(text, start).end()  # type: ignore[union-attr]  # it matches anything
        if text[end : end + 1] == '"':
            raise InputError(f"the quote at position {end + 1} of the style {text!r} is not closed")
        yield text[start:end], start + 1
        if end == len(text):
            return
        start = end + 1


def _parse_term(part: str, position: int) -> Term:
    text = part.strip()
    where = f"at position {position} of the style expression"
    if not text:
        raise InputError(f"a style is missing {where}; write for example great-wave")
    kind, _, rest = text.partition(":")
    if kind.strip() == "image":
        path, weight = _parse_path(rest.strip(), where)
        return Term("image", path, _parse_weight(weight, where))
    if kind.strip() == "latent":
        number, colon, weight = rest.partition(":")
        seed = _parse_seed(number, where)
        return Term("latent", "", _parse_weight(weight if colon else None, where), seed)
    name, colon, weight = text.partition(":")
    name, varied, number = name.partition("~")
    name = name.strip()
    if not _STYLE.fullmatch(name):
        raise InputError(
            f"{name!r} {where} is not a style name (lower-case letters, digits and dashes); "
            "for a picture write image:PATH"
        )
    variation = _parse_seed(number, where) if varied else None
    return Term("style", name, _parse_weight(weight if colon else None, where), variation)


def _parse_seed(text: str, where: str) -> int:
    if not _SEED.fullmatch(text.strip()) or int(text) > MOST_SEED:
        raise InputError(
            f"{text.strip()!r} {where} is not the number of a style, 0 to {MOST_SEED}; "
            "write for example latent:7 or great-wave~7"
        )
    return int(text)


def _parse_path(text: str, where: str) -> tuple[str, str | None]:
    """The path and the text of the weight, None where there is none."""
    path: str
    weight: str | None
    if text.startswith('"'):
        match = _QUOTED.fullmatch(text)
        if match is None:
            raise InputError(f'after image:"PATH" {where} comes a weight, as in image:"a.jpg":0.5')
        path, weight = match[1].replace('""', '"'), match[2]
    else:
        if '"' in text:
            raise InputError(f'a path with a quote {where} must be quoted as a whole: image:"PATH"')
        head, colon, tail = text.rpartition(":")
        weighted = bool(colon) and _WEIGHT.fullmatch(tail.strip()) is not None
        path, weight = (head.strip(), tail) if weighted else (text, None)
    if not path:
        raise InputError(f"image: {where} has no path; write image:picture.jpg")
    return path, weight


def _parse_weight(text: str | None, where: str) -> float:
    if text is None:
        return 1.0
    if not _WEIGHT.fullmatch(text.strip()) or float(text) > _LARGEST_WEIGHT:
        raise InputError(
            f"the weight {text.strip()!r} {where} is not a number "
            f"between 0 and {_LARGEST_WEIGHT:.0f}, such as 0.6"
        )
    return float(text)


def _format_name(term: Term) -> str:
    if term.kind == "latent":
        return f"latent:{term.seed}"
    if term.kind == "style":
        return term.name if term.seed is None else f"{term.name}~{term.seed}"
    path = term.name
    if path != path.strip() or any(mark in path for mark in '+":'):
        path = '"' + path.replace('"', '""') + '"'
    return f"image:{path}"
