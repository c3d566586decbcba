"""Codes refined while the weights stand still."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import parallel_steps
from streamfx.demo import draw
from streamfx.styles import find_pack
from streamfx.training import codes
from streamfx.training.base import start_from
from streamfx.training.brushwork import fit_brushwork, shown_with
from streamfx.training.codes import CodeRefiner
from streamfx.training.faceterms import shading_of_faces
from streamfx.training.goals import Goals, goals_of_styles
from streamfx.training.library import Library
from streamfx.training.networks import WIDTHS, Generator, Networks, StyleEncoder
from streamfx.training.perceptual import ContentNetwork
from streamfx.training.recipes import CodesConfig, Recipe

STEPS = 8


@pytest.fixture(scope="module")
def library() -> Library:
    contents = np.stack([draw(float(second), 192, 192) for second in range(4)])
    return replace(parallel_steps.library(), contents=contents)


@pytest.fixture(scope="module")
def goals(library: Library) -> Goals:
    return goals_of_styles(ContentNetwork(), [style.paintings for style in library.styles])


def started(library: Library) -> Networks:
    """The shipped pack's, with what they read from the library's paintings."""
    config = WIDTHS["small"]
    code = nn.Embedding(library.catalogue, config.style_size)
    networks = Networks(Generator(config), StyleEncoder(config.style_size), code)
    start_from(find_pack("default"), networks, [style.paintings for style in library.styles])
    return networks


def plan(**said: float) -> Recipe:
    config = CodesConfig.model_validate({"steps": STEPS, "faces": 0, **said})
    return parallel_steps.recipe().model_copy(update={"codes": config})


def refined(library: Library, goals: Goals, **said: float) -> Networks:
    networks = started(library)
    CodeRefiner(networks, library, goals, plan(**said))(1)
    return networks


def distance(networks: Networks, library: Library, goals: Goals, number: int) -> float:
    refiner = CodeRefiner(networks, library, goals, plan())
    with torch.no_grad():
        views, flat = refiner._views, torch.zeros(refiner._views.shape[2:])
        return float(refiner._distance(networks.codes.weight[number], number, views, flat))


def test_a_refined_code_comes_nearer_and_nothing_else_changes(
    library: Library, goals: Goals
) -> None:
    before, after = started(library), refined(library, goals)
    assert distance(after, library, goals, 1) < 0.98 * distance(before, library, goals, 1)
    assert torch.equal(after.codes.weight[0], before.codes.weight[0])
    assert not torch.equal(after.codes.weight[1], before.codes.weight[1])
    pairs = zip(before.generator.parameters(), after.generator.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_same_run_refines_alike(library: Library, goals: Goals) -> None:
    one, two = (refined(library, goals, steps=2).codes.weight for _ in range(2))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-6)


def test_brushwork_is_laid_while_a_code_is_refined(library: Library, goals: Goals) -> None:
    networks = started(library)
    paint = fit_brushwork(networks, library, goals, 12, seed=0)[1]
    laid = replace(paint, amount=12.0)
    CodeRefiner(networks, library, goals, plan(steps=2))(1, laid)
    assert not torch.equal(networks.codes.weight, refined(library, goals, steps=2).codes.weight)


def test_a_texture_is_laid_on_all_three_colours_alike() -> None:
    planes = torch.full((1, 6, 8, 8), 128 / 255)
    texture = torch.from_numpy(np.random.default_rng(0).normal(0, 5, (16, 16)).astype(np.float32))
    plain, laid = shown_with(planes, 0 * texture), shown_with(planes, texture)
    expected = (texture / 219).expand(1, 3, 16, 16)
    torch.testing.assert_close(laid - plain, expected, rtol=0, atol=1e-5)


def test_a_code_that_is_held_goes_less_far(library: Library, goals: Goals) -> None:
    start = started(library).codes.weight[1]
    free, held = (
        float((refined(library, goals, near=near).codes.weight[1] - start).detach().norm())
        for near in (0.0, 10.0)
    )
    assert held < 0.7 * free


def test_a_shift_changes_less_where_it_counts(library: Library, goals: Goals) -> None:
    errors = []
    for weight in (0.0, 20.0):
        networks = refined(library, goals, shift=weight)
        refiner = CodeRefiner(networks, library, goals, plan())
        code, random = networks.codes.weight[1], np.random.default_rng(0)
        with torch.no_grad():
            errors.append(
                sum(float(refiner._shift_error(code, v[None], random)) for v in refiner._views)
            )
    free, counted = errors
    assert counted < 0.9 * free


def test_faces_keep_their_shades_where_they_count(
    library: Library, goals: Goals, monkeypatch: pytest.MonkeyPatch
) -> None:
    ovals = np.zeros((4, 192, 192, 1), np.uint8)
    ovals[:3, 40:150, 50:140] = 255
    monkeypatch.setattr(codes, "face_ovals", lambda contents: ovals)
    costs = []
    for weight in (0.001, 10.0):
        networks = refined(library, goals, faces=weight)
        refiner = CodeRefiner(networks, library, goals, plan(faces=1))
        assert refiner.portraits == 3, "a picture without a face is no portrait"
        with torch.no_grad():
            costs.append(float(refiner._shading(networks.codes.weight[1], refiner._faces)))
    hardly, counted = costs
    assert counted < 0.9 * hardly


def test_contents_without_a_face_are_no_portraits(
    library: Library, goals: Goals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "face_ovals", lambda contents: np.zeros_like(contents[..., :1]))
    networks = started(library)
    refiner = CodeRefiner(networks, library, goals, plan(faces=1, steps=1))
    assert refiner.portraits == 0
    refiner(1)


def test_faces_of_one_colour_that_are_shaded_as_they_were_cost_nothing() -> None:
    random = np.random.default_rng(0)
    grey = torch.from_numpy(random.uniform(0.2, 0.8, (2, 1, 32, 32)).astype(np.float32))
    wanted = grey.expand(-1, 3, -1, -1)
    ovals = torch.zeros(2, 1, 32, 32)
    ovals[..., 8:24, 8:24] = 1
    # Another brightness and contrast, and another colour: those are the style's.
    tinted = 0.6 * wanted + torch.tensor([0.3, 0.1, 0.0])[:, None, None]
    assert shading_of_faces(tinted, wanted, ovals) < 0.01
    around = tinted.clone()
    around[..., :4, :] = 0
    assert shading_of_faces(around, wanted, ovals) < 0.01, "off the face nothing counts"
    forehead = tinted.clone()
    forehead[..., 8:12, 8:24] += torch.tensor([-0.1, 0.0, 0.3])[:, None, None]
    assert shading_of_faces(forehead, wanted, ovals) > 0.03
    assert shading_of_faces(1 - wanted, wanted, ovals) > 0.1
    assert shading_of_faces(wanted, wanted, torch.zeros_like(ovals)) == 0
