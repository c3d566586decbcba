"""The last step of a run: codes of the catalogue, refined one by one while the weights stand still.

The weights serve all styles, so what one of them still lacks they can hardly give it: it would be
taken from another. Its own code can. It goes where whole views come nearest to the painting, with
brushwork laid as it will be, where faces are of one colour and shaded as they were, and where a
shift of the picture changes no more than the recipe tolerates.
"""

from __future__ import annotations

from math import cos, pi

import numpy as np
import torch
from torch import Tensor

from streamfx.brushwork import Paint, decode_swatches, weave
from streamfx.training import losses
from streamfx.training.brushwork import shown_with
from streamfx.training.color import planes_to_rgb, rgb_to_planes
from streamfx.training.exposure import focus
from streamfx.training.facemaps import face_ovals
from streamfx.training.faceterms import shading_of_faces
from streamfx.training.goals import Goals
from streamfx.training.library import Library
from streamfx.training.networks import Networks
from streamfx.training.perceptual import ContentNetwork
from streamfx.training.recipes import SHIFT, Recipe
from streamfx.training.views import whole_views
from streamfx.training.windows import tensor

_VIEWS, _AT_ONCE = 60, 4
_PORTRAITS, _FACES_AT_ONCE = 60, 2
_LEAST_FACE = 0.02  # of a picture: in a smaller face there is nothing to shade


class CodeRefiner:
    """Refines codes of a run's catalogue; the same run refines them alike.

    Args:
        networks: on the CPU; their weights are left as they are.
        goals: of the run's styles, on the CPU.

    Attributes:
        portraits: how many contents with faces there are; the most that are used is 60.

    Raises:
        StreamFXError: the recipe gives faces a weight, and what finds them is not installed.
    """

    def __init__(self, networks: Networks, library: Library, goals: Goals, recipe: Recipe) -> None:
        self._networks, self._goals, self._recipe = networks, goals, recipe
        self._features = ContentNetwork()
        self._views = tensor(whole_views(library.contents, _VIEWS))
        self.portraits = 0
        if recipe.codes.faces:
            ovals = face_ovals(library.contents)
            shows_one = ovals.mean((1, 2, 3)) > 255 * _LEAST_FACE
            self.portraits = int(shows_one.sum())
        if self.portraits:
            both = np.concatenate([library.contents, ovals], -1)[shows_one]
            self._faces = tensor(whole_views(both, _PORTRAITS))

    def __call__(self, number: int, paint: Paint | None = None) -> None:
        """Refine the code of a style by its number; `paint` is what is laid on its pictures."""
        config, size = self._recipe.codes, (self._views.shape[2], self._views.shape[3])
        texture = torch.zeros(size)
        if paint is not None:
            swatches = decode_swatches(paint.swatches, "the style's brushwork")
            texture = paint.amount * torch.from_numpy(weave(swatches, size))
        random = np.random.default_rng((self._recipe.seed, number))
        start = self._networks.codes.weight[number].detach().clone()
        code = start.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([code], config.learning_rate)
        for step in range(config.steps):
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * (1 + cos(pi * step / config.steps)) / 2
            chosen = random.choice(len(self._views), min(_AT_ONCE, len(self._views)), False)
            cost = self._distance(code, number, self._views[chosen], texture)
            cost = cost + config.near * (code - start).square().sum()
            if config.shift:
                cost = cost + config.shift * self._shift_error(
                    code, self._views[chosen[:1]], random
                )
            if self.portraits:
                count = len(self._faces)
                some = self._faces[random.choice(count, min(_FACES_AT_ONCE, count), False)]
                cost = cost + config.faces * self._shading(code, some)
            (code.grad,) = torch.autograd.grad(cost, [code])
            optimizer.step()
        with torch.no_grad():
            self._networks.codes.weight[number] = code

    def _restyle(self, code: Tensor, rgb: Tensor) -> Tensor:
        """Planes of what becomes of pictures [N,3,H,W]."""
        planes = rgb_to_planes(rgb)
        full = planes.new_ones(len(planes), 1)
        out: Tensor = self._networks.generator(
            planes, code.expand(len(planes), -1), full, focus(planes[:, :4])
        )
        return out

    def _distance(self, code: Tensor, number: int, views: Tensor, texture: Tensor) -> Tensor:
        goal = self._goals.rows(torch.full((len(views),), number))
        return goal.distances(self._features, shown_with(self._restyle(code, views), texture))

    def _shift_error(self, code: Tensor, view: Tensor, random: np.random.Generator) -> Tensor:
        """What is not tolerated, in units of the picture's contrast; of a view [1,3,S,S]."""
        rows, columns = (int(each) for each in random.integers(0, SHIFT, 2))
        side = view.shape[-1] - SHIFT
        windows = [view[..., top : top + side, left : left + side]
                   for top, left in ((0, 0), (rows, columns))]  # fmt: skip
        rgb = planes_to_rgb(losses.shown(self._restyle(code, torch.cat(windows))))
        error = losses.equivariance(rgb[0], rgb[1], rows, columns, border=side // 4)
        beyond = losses.beyond(error, self._recipe.tolerance.shift / 255)
        return beyond / losses.contrast(rgb)

    def _shading(self, code: Tensor, pictures: Tensor) -> Tensor:
        rgb, ovals = pictures[:, :3], pictures[:, 3:]
        shown = planes_to_rgb(self._restyle(code, rgb)).clamp(0, 1)
        return shading_of_faces(shown, rgb, ovals)
