"""Recipes: read strictly, refused in words."""

from pathlib import Path

import pytest

from streamfx.errors import InputError
from streamfx.training.recipes import load_recipe, shipped

GOOD = """
name = "mine"
[styles.one]
picture = "one.png"
title = "One"
"""


def test_every_shipped_recipe_loads() -> None:
    assert "default" in shipped()
    for name in shipped():
        recipe = load_recipe(name)
        assert recipe.styles or recipe.base, "nothing to learn, and nothing to start from"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (GOOD + "[losses]\nwrap = 3\n", "losses.wrap"),
        (GOOD + "[teacher]\nside = 200\n", "teacher.side"),
        (GOOD + "[data]\nwindow = 100\n", "data.window"),
        (GOOD + "[teacher]\npasses = -1\n", "teacher.passes"),
        (GOOD.replace('"mine"', '"My Pack"'), "name"),
        ("name = ", "not valid TOML"),
    ],
)
def test_bad_recipes_are_refused_by_name(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=part):
        load_recipe(str(path))


def test_an_unknown_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(InputError, match="default"):
        load_recipe("no-such-recipe")


def test_a_recipe_like_another(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(GOOD + "[losses]\nwarp = 3\nflat = 2\n")
    other = tmp_path / "two.toml"
    other.write_text(
        f'like = "{tmp_path / "one.toml"}"\nname = "other"\nwidth = "large"\n'
        "[losses]\nwarp = 1\n[styles.one]\ntitle = 'Another'\n"
    )
    recipe = load_recipe(str(other))
    assert (recipe.name, recipe.width) == ("other", "large")
    assert (recipe.losses.warp, recipe.losses.flat) == (1, 2)
    assert (recipe.styles["one"].picture, recipe.styles["one"].title) == ("one.png", "Another")
    (tmp_path / "one.toml").write_text(f'like = "{other}"\n' + GOOD)
    with pytest.raises(InputError, match="is like itself"):
        load_recipe(str(other))
