"""Exploring styles, as a person does it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamfx.errors import InputError
from streamfx.explore import MOST_CANDIDATES, explore
from streamfx.expressions import MOST_SEED, format_expression, parse_expression


def test_variations_of_a_style_and_latent_styles() -> None:
    assert all(text.startswith("great-wave~") for text in explore("great-wave"))
    assert all(text.startswith("latent:") for text in explore())
    assert len(set(explore(count=25))) == 25
    assert explore(seed=3) == explore(seed=3) != explore(seed=4)
    assert explore(seed=3, generation=1) != explore(seed=3)


def test_children_are_made_of_their_parents() -> None:
    kept = ["great-wave~1", "great-wave~2"]
    for child in explore("great-wave", kept, generation=1):
        weights = {term.seed: term.weight for term in parse_expression(child)}
        assert weights.get(1, 0) + weights.get(2, 0) == pytest.approx(0.6, abs=0.01)
    late = explore("great-wave", kept, generation=6)
    fresh = [1 - sum(t.weight for t in parse_expression(c) if t.seed in (1, 2)) for c in late]
    assert max(fresh) < 0.15


@given(
    generation=st.integers(0, 50),
    seed=st.integers(0, MOST_SEED),
    count=st.integers(1, MOST_CANDIDATES),
)
def test_every_candidate_is_an_expression(generation: int, seed: int, count: int) -> None:
    kept = ["great-wave~1:0.3+latent:9:0.7", "a+b+c+d+e+f+g+h+i+j"]
    for child in explore("great-wave", kept, generation=generation, seed=seed, count=count):
        terms = parse_expression(child)
        assert len(terms) <= 8
        assert format_expression(terms) == child


def test_what_cannot_be_explored() -> None:
    with pytest.raises(InputError, match="mixed but not varied"):
        explore("image:a.jpg")
    for wrong in ({"count": 0}, {"count": 26}, {"generation": -1}, {"seed": -1}):
        with pytest.raises(InputError, match=r"number|between"):
            explore(**wrong)
    with pytest.raises(InputError, match="at most 16"):
        explore(kept=["latent:1"] * 17)


def test_choosing_comes_closer_than_chance() -> None:
    """Someone who likes the 2 of 9 that are nearest to a target, against the best of 27."""

    def code(text: str) -> NDArray[np.float64]:
        return np.sum(
            [
                term.weight * np.random.default_rng(term.seed).standard_normal(64)
                for term in parse_expression(text)
            ],
            axis=0,
        )

    chosen, by_chance = [], []
    for seed in range(20):
        target = code(f"latent:{900_000 + seed}")
        distances: dict[str, float] = {}
        kept: list[str] = []
        for generation in range(3):
            for text in explore(None, kept, generation=generation, seed=seed):
                distances[text] = float(np.linalg.norm(code(text) - target))
            kept = sorted(distances, key=distances.__getitem__)[:2]
        chosen.append(distances[kept[0]])
        random = explore(seed=seed + 100, count=25) + explore(seed=seed + 200, count=2)
        by_chance.append(min(np.linalg.norm(code(text) - target) for text in random))
    assert np.median(chosen) < np.median(by_chance)
