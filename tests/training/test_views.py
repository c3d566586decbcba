"""Whole views, and the styles that nobody painted among them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import parallel_steps
from streamfx.training.library import Library
from streamfx.training.trainer import Trainer
from streamfx.training.views import INVENTED_SIDE, Views, draw_views, style_of_views


def drawn(invented_share: float, library: Library | None = None, **more: float) -> Views:
    data = parallel_steps.recipe().data
    data = data.model_copy(update={"views": 8, "invented_share": invented_share, **more})
    return draw_views(np.random.default_rng(0), library or parallel_steps.library(), data)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_an_invented_style_is_read_from_what_it_is_to_look_like(share: float) -> None:
    views = drawn(share)
    invented = views.styles < 0
    assert invented.any() and invented.all() == (share == 1)
    assert views.paintings is not None
    assert views.paintings.shape == (8, 3, INVENTED_SIDE, INVENTED_SIDE)
    for picture, painting in zip(views.pictures[invented], views.paintings[invented], strict=True):
        assert picture.shape == (3, 256, 256)
        torch.testing.assert_close(picture.mean((1, 2)), painting.mean((1, 2)), atol=2e-3, rtol=0)
    # In other colours each time.
    means = views.paintings[invented].mean((2, 3))
    assert torch.pdist(means).min() > 1e-3


def test_without_invented_styles_every_view_is_a_style_of_the_run() -> None:
    views = drawn(0)
    assert views.paintings is None
    assert (views.styles >= 0).all()
    assert views.inputs.shape[:2] == (8, 6)
    assert views.inputs.min() >= 0 and views.inputs.max() <= 1


def test_soft_views_are_sharpened_as_the_graph_does_it() -> None:
    library = parallel_steps.library()
    shape = library.contents.shape
    crisp = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    library = replace(library, contents=crisp)
    kept, softened = (
        drawn(0, library, soft_share=share, contrast=1).sharpen.mean() for share in (0, 1)
    )
    assert kept < 0.9 * softened


def test_the_style_is_nothing_that_a_face_is_to_take_on() -> None:
    """Where everything is face, no weight of the networks is to change."""
    recipe = parallel_steps.recipe()
    trainer = Trainer(recipe, parallel_steps.library())
    views = drawn(0)
    assert views.faces is not None
    assert views.faces.shape[-2:] == tuple(2 * side for side in views.inputs.shape[-2:])
    changes = []
    for faces in (torch.zeros_like(views.faces), torch.ones_like(views.faces)):
        distance = style_of_views(
            replace(views, faces=faces), trainer.networks, trainer.goals, trainer.features, 8, False
        )
        distance.mean().backward()
        gradient = trainer.networks.generator.exit.weight.grad
        assert gradient is not None
        changes.append(gradient.abs().max().item())
        trainer.networks.generator.zero_grad()
    assert changes[0] > 0 and changes[1] == 0
