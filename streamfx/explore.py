"""Exploring styles: variations to choose from, and the next ones bred from those that please.

Interactive evolution (Dawkins 1986; Secretan et al., "Picbreeder", 2011). Every candidate is a
style expression, so it can be shown, kept, mixed and saved like any other, and the same seed
gives the same candidates everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from streamfx.errors import InputError
from streamfx.expressions import MOST_SEED, Term, format_expression, parse_expression

MOST_CANDIDATES = 25
MOST_KEPT = 16
# Share of a fresh variation in a child of the first generation; of the next ones, less and less.
_FRESH = 0.8
_MOST_TERMS = 8  # of a child; the least ones are left out
_DIGITS = 3


def explore(
    like: str | None = None,
    kept: Sequence[str] = (),
    *,
    generation: int = 0,
    seed: int = 0,
    count: int = 9,
) -> list[str]:
    """Candidates to choose from.

    Args:
        like: the style expression to vary; None = latent styles, which nobody painted.
        kept: the expressions that pleased, of any generation; from them the next are bred.
            Without any, fresh ones are drawn.
        generation: how many times was chosen before; later candidates lie closer together.
        seed: the same one gives the same candidates.
        count: how many, 1 to 25.

    Returns:
        `count` style expressions that differ from each other.

    Raises:
        InputError: an expression is none, a picture is to be varied, or a number is out of range.
    """
    if not 1 <= count <= MOST_CANDIDATES:
        raise InputError(f"between 1 and {MOST_CANDIDATES} styles can be shown, not {count}")
    if not 0 <= generation <= 1000:
        raise InputError(f"a generation is a number from 0 to 1000, not {generation}")
    if not 0 <= seed <= MOST_SEED:
        raise InputError(f"a seed is a number from 0 to {MOST_SEED}, not {seed}")
    if len(kept) > MOST_KEPT:
        raise InputError(f"at most {MOST_KEPT} styles can be kept, not {len(kept)}")
    root = parse_expression(like) if like is not None else None
    if root is not None and any(term.kind == "image" for term in root):
        raise InputError(
            "a picture can be mixed but not varied; add it as a style and vary that one"
        )
    parents = [parse_expression(text) for text in kept]
    random = np.random.default_rng((seed, generation))
    found: dict[str, None] = {}
    while len(found) < count:
        child = _fresh(root, random)
        if parents:
            child = _mixed(_bred(parents, random), child, _FRESH / (1 + generation))
        found[format_expression(child)] = None
    return list(found)


def _fresh(root: Sequence[Term] | None, random: np.random.Generator) -> tuple[Term, ...]:
    # Small numbers, which people can remember.
    number = int(random.integers(100_000))
    if root is None:
        return (Term("latent", "", 1.0, number),)
    return tuple(replace(term, seed=number) for term in root)


def _bred(parents: Sequence[tuple[Term, ...]], random: np.random.Generator) -> tuple[Term, ...]:
    """Two of the parents mixed; what pleased alone is itself."""
    chosen = random.permutation(len(parents))[:2]
    first, second = parents[chosen[0]], parents[chosen[-1]]
    return _mixed(first, second, float(random.uniform(0.2, 0.8)))


def _mixed(first: Sequence[Term], second: Sequence[Term], share: float) -> tuple[Term, ...]:
    """A mix with `share` of the second; equal terms are put together, the least ones left out."""
    weights: dict[Term, float] = defaultdict(float)
    for terms, amount in ((first, 1 - share), (second, share)):
        for term in terms:
            weights[replace(term, weight=1.0)] += amount * term.weight
    largest = sorted(weights.items(), key=lambda item: -item[1])[:_MOST_TERMS]
    # Through text, so that what is shown and what is used are the same.
    total = sum(weight for _, weight in largest)
    text = format_expression(
        replace(term, weight=max(round(weight / total, _DIGITS), 10**-_DIGITS))
        for term, weight in largest
    )
    return parse_expression(text)
