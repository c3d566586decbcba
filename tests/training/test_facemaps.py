"""Faces that stay theirs: where they are, and what the terms of the objective make of that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import parallel_steps
from streamfx.errors import InputError
from streamfx.training import facemaps, losses
from streamfx.training.batches import make_batch
from streamfx.training.facemaps import (
    face_map,
    face_maps,
    face_ovals,
    head_and_shoulders,
    keep_faces,
)
from streamfx.training.faces import Face
from streamfx.training.library import Library, Source, Sources, Style, build_library
from streamfx.training.recipes import LossWeights, load_recipe
from streamfx.training.trainer import Trainer


def a_face(x: float = 96, y: float = 96) -> Face:
    """Landmarks on an oval 80 pixels high, with two eyes 30 pixels apart and a mouth."""
    angle = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    landmarks = np.stack([x + 32 * np.cos(angle), y + 40 * np.sin(angle)], 1)
    places = ((x - 15, y - 8), (x + 15, y - 8), (x - 15, y - 16), (x + 15, y - 16), (x, y + 18))
    for indices, (column, row) in zip(facemaps._FEATURES[:5], places, strict=True):
        turn = np.linspace(0, 2 * np.pi, len(indices), endpoint=False)
        landmarks[list(indices)] = np.stack([column + 5 * np.cos(turn), row + 3 * np.sin(turn)], 1)
    landmarks[list(facemaps._FEATURES[5])] = (x, y)
    return Face(landmarks.astype(np.float32))


def test_a_map_says_where_faces_are() -> None:
    drawn = face_map([a_face()], 192)
    assert drawn[88, 81] == drawn[88, 111] == drawn[114, 96] == 255, "eyes and mouth"
    assert drawn[106, 75] == drawn[62, 96] == 102, "cheek and forehead"
    assert drawn[20, 96] == drawn[96, 20] == 0
    assert len(np.unique(drawn)) > 20, "edges are soft"
    both = face_map([a_face(60, 60), a_face(130, 130)], 192)
    assert both[52, 45] == both[122, 115] == 255
    assert not face_map([], 192).any()


def test_ovals_are_faces_without_what_is_around_them(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = iter([[a_face()], [], [a_face(60, 60), a_face(130, 130)]])
    monkeypatch.setattr(facemaps, "FaceFinder", lambda: lambda frame: next(faces))
    one, none, two = face_ovals(np.zeros((3, 192, 192, 3), np.uint8))[..., 0]
    assert one[96, 96] == one[60, 96] == 255 and one[50, 96] == one[96, 140] == 0
    assert set(np.unique(one)) == {0, 255}
    assert not none.any()
    assert two[60, 60] == two[130, 130] == 255


def test_portraits_are_cropped_to_head_and_shoulders() -> None:
    places = np.stack(np.meshgrid(np.arange(400), np.arange(300), indexing="ij"), -1)
    picture = np.concatenate([places, 0 * places[..., :1]], -1).astype(np.float32) / 400

    def cropped(*faces: Face) -> np.ndarray:
        return np.rint(400 * head_and_shoulders(lambda frame: list(faces))(picture, 240))

    around, middle = cropped(a_face(150, 90)), cropped()
    # Eight eye distances of thirty pixels; above the face there is less room than that.
    assert around.shape == middle.shape == (240, 240, 3)
    assert around[0, :, 0].max() == 0 and around[-1, :, 0].min() == 239
    assert around[:, 0, 1].min() == pytest.approx(30, abs=2)
    small = cropped(Face(0.1 * a_face().landmarks))
    assert np.ptp(small[..., 1]) == pytest.approx(80, abs=2), "no more than three times"
    assert middle[0, 0].tolist() == [50, 0, 0] and middle[-1, -1].tolist() == [349, 299, 0]


def test_a_recipe_that_keeps_faces_needs_some(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind:
        def __call__(self, frame: np.ndarray) -> list[Face]:
            return []

    monkeypatch.setattr(facemaps, "FaceFinder", Blind)
    with pytest.raises(InputError, match="none of the content pictures shows one"):
        face_maps(np.zeros((2, 192, 192, 3), np.uint8))


def test_targets_keep_faces_in_the_colours_of_the_style() -> None:
    random = np.random.default_rng(0)
    contents = random.integers(60, 200, (2, 192, 192, 3), np.uint8)
    targets = np.empty_like(contents)
    targets[:] = random.integers(0, 2, (2, 192, 192, 1)) * (200, 150, 20)
    faces = np.zeros((2, 192, 192, 1), np.uint8)
    faces[0, ..., 0] = face_map([a_face()], 192)
    kept = keep_faces(targets, contents, faces, 1.0)
    off = faces[0, ..., 0] == 0
    np.testing.assert_array_equal(kept[1], targets[1])
    np.testing.assert_array_equal(kept[0][off], targets[0][off])

    def likeness(picture: np.ndarray) -> float:
        face = faces[0, ..., 0] >= 102
        return float(np.corrcoef(picture[face].mean(1), contents[0][face].mean(1))[0, 1])

    assert likeness(targets[0]) < 0.1 and likeness(kept[0]) > 0.8
    warmth = kept[0][~off].astype(float).mean(0) - contents[0][~off].mean(0)
    assert warmth[0] > warmth[2] + 20, "as yellow as the style"
    dark = keep_faces(targets // 8, contents, faces, 1.0)[0]
    features = faces[0, ..., 0] == 255
    assert dark[features].mean() == pytest.approx(contents[0][features].mean(), abs=12), "lit"
    np.testing.assert_array_equal(keep_faces(targets, contents, faces, 0.0), targets)


@pytest.fixture(scope="module")
def pictures() -> tuple[Tensor, Tensor, Tensor]:
    """Output, content [2,1,64,64] and a face in the first of the two."""
    torch.manual_seed(0)
    coarse = torch.nn.functional.interpolate(torch.rand(4, 1, 16, 16), scale_factor=4.0)
    faces = torch.zeros(2, 1, 64, 64)
    faces[0, :, 16:48, 16:48] = 1
    return coarse[:2], coarse[2:], faces


def _features(output: Tensor, content: Tensor, faces: Tensor) -> Tensor:
    return losses.face_content([output], [content], faces)


@pytest.mark.parametrize("term", [losses.face_edges, _features])
def test_terms_pull_faces_together_and_nothing_else(
    pictures: tuple[Tensor, Tensor, Tensor], term: Callable[..., Tensor]
) -> None:
    first, content, faces = pictures
    output = first.clone().requires_grad_(True)
    before = term(output, content, faces).item()
    optimizer = torch.optim.Adam([output], 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss = term(output, content, faces)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3 * before
    change = (output.detach() - first).abs()
    assert change[0, :, 20:44, 20:44].mean() > 0.05
    assert change[1].max() == 0 and change[0, :, :8].max() == 0
    none = term(output, content, torch.zeros_like(faces))
    assert none.item() == pytest.approx(0, abs=1e-6)
    none.backward()
    assert term(content, content, faces).item() == pytest.approx(0, abs=2e-3)


def test_edges_may_have_another_contrast_but_not_none(
    pictures: tuple[Tensor, Tensor, Tensor],
) -> None:
    _, content, faces = pictures
    assert losses.face_edges(0.5 * content + 0.3, content, faces) < 0.01
    assert losses.face_edges(0.001 * content, content, faces) > 0.2
    assert losses.face_edges(-content, content, faces) > 0.8


def _marked() -> Library:
    """Contents in which a face, and nothing else, is red."""
    whole = parallel_steps.library()
    assert whole.faces is not None
    contents = np.full_like(whole.contents, 40)
    contents[whole.faces[..., 0] > 0] = (240, 0, 0)
    styles = tuple(
        Style(style.name, style.paintings, style.targets, style.indices) for style in whole.styles
    )
    return Library(contents, styles, whole.catalogue, whole.faces)


@pytest.mark.parametrize("number", [0, 3, 4, 6])
def test_faces_move_with_their_pictures(number: int) -> None:
    batch = make_batch(_marked(), parallel_steps.recipe(), number)
    assert batch.content is not None and batch.faces is not None
    assert len(batch.content) == len(batch.inputs)
    red = batch.content[:, :1] - batch.content[:, 1:2]
    assert batch.faces.max() > 0.9, "no face in the whole batch"
    torch.testing.assert_close(red / (240 / 255), batch.faces, atol=0.02, rtol=0)


def test_the_terms_count_by_their_weights() -> None:
    recipe = parallel_steps.recipe()
    found = []
    for edges, content in ((0.0, 0.0), (30.0, 20.0)):
        terms = recipe.losses.model_copy(update={"face_edges": edges, "face_content": content})
        optimizer = recipe.optimizer.model_copy(update={"warm_up": 0})
        plan = recipe.model_copy(update={"losses": terms, "optimizer": optimizer})
        trainer = Trainer(plan, parallel_steps.library())
        trainer.progress.iteration = 2
        found.append(trainer.step(share=0))
    without, with_them = found
    assert with_them["face_edges"] == without["face_edges"] > 0
    more = 30 * with_them["face_edges"] + 20 * with_them["face_content"]
    assert with_them["total"] - without["total"] == pytest.approx(more, rel=1e-4)


def test_the_portrait_recipe_keeps_faces() -> None:
    portrait, adapt = load_recipe("portrait"), load_recipe("adapt")
    assert portrait.base == adapt.base == "default" and not portrait.styles
    assert portrait.sees_faces and not adapt.sees_faces
    assert portrait.losses.face_content > 0 and portrait.losses.face_edges > 0


def test_a_library_of_a_recipe_that_keeps_faces(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Finder:
        """A face in the first picture alone."""

        def __call__(self, frame: np.ndarray) -> list[Face]:
            return [a_face()] if frame[0, 0, 0] == 255 else []

    monkeypatch.setattr(facemaps, "FaceFinder", Finder)
    whole, recipe = parallel_steps.library(), parallel_steps.recipe()
    contents = whole.contents.copy()
    contents[:, 0, 0] = 0
    contents[0, 0, 0] = 255
    style = whole.styles[0]
    made = tmp_path / "targets.npy"
    np.save(made, style.targets)
    source = Source(style.name, [], style.paintings, style.indices, made)
    sources = Sources(contents, (source,), 1)
    plain = recipe.model_copy(update={"losses": LossWeights()})
    assert build_library(plain, sources).faces is None
    keeping = plain.model_copy(update={"data": recipe.data.model_copy(update={"own_faces": 0.9})})
    library = build_library(keeping, sources)
    assert library.faces is not None
    assert library.faces[0].max() == 255 and not library.faces[1:].any()
    changed = (library.styles[0].targets != style.targets).any((1, 2, 3))
    assert changed.tolist() == [True, False, False, False]
