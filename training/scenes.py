"""Moving scenes made from stills, whose motion and visibility are known exactly.

They are rendered by `motion`, as the clips of training are, along fixed paths in whole pixels
that are no multiple of a sampling grid: what a stylist should do with them has an exact answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from .clips import as_video
from .metrics import RGB, Floats, Motion
from .motion import LAYERS, Coverage, Trajectories, cover, flow_between, render

T = TypeVar("T", bound=np.generic)

GHOST_LAG = 3

_PAN, _CROSSING, _PASSING = (3, -1), (-5, 2), (13, 0)
_REST = 4  # frames for which the passing cut-out stands still first


@dataclass(frozen=True)
class Scene:
    """Frames and what is known of them.

    Attributes:
        frames: uint8 RGB [H, W, 3].
        motion: its paths; square, and the frames lie in its middle.
        coverage: which layer is seen where, of that square.
    """

    frames: tuple[RGB, ...]
    motion: Trajectories
    coverage: Coverage

    def motions(self, gap: int) -> tuple[Motion, ...]:
        """Exact motion, from every frame but the first `gap` back to the one `gap` earlier."""
        found = []
        for later in range(gap, len(self.frames)):
            flow, visible = flow_between(self.motion, self.coverage, later, later - gap)
            offset = self._middle(flow[0].permute(1, 2, 0).numpy())
            source = offset + _grid(*offset.shape[:2])
            size = np.array(source.shape[1::-1])
            inside = ((source >= 0) & (source <= size - 1)).all(-1)
            seen = self._middle(visible[0, 0].numpy() > 0.5)
            found.append(Motion(source.astype(np.float32), seen & inside))
        return tuple(found)

    def trail(self, frame: int) -> NDArray[np.bool_]:
        """bool [H, W]: pixels that a cut-out covered `GHOST_LAG` frames ago and never since."""
        owner, sure = self.coverage.owner[0], self.coverage.sure[0]
        gone = torch.stack(
            [(owner[frame - lag] == 0) & sure[frame - lag] for lag in range(GHOST_LAG)]
        ).all(0)
        return self._middle((gone & (owner[frame - GHOST_LAG] != 0)).numpy())

    def _middle(self, square: NDArray[T]) -> NDArray[T]:
        return _middle(square, *self.frames[0].shape[:2])


def panning_scene(background: RGB, thing: RGB, frames: int = 8) -> Scene:
    """A background that pans and a cut-out of `thing` that crosses it the other way.

    Both are uint8 RGB of one size with even sides; so are the frames.
    """
    side = max(background.shape[:2])
    paths = [_path(frames, _PAN), _path(frames, _CROSSING)]
    return _scene(background, thing, paths, (0.22 * side, 0.18 * side))


def passing_scene(background: RGB, thing: RGB) -> Scene:
    """A background that stands still and a round cut-out of `thing` that passes over it.

    Both are uint8 RGB of one size with even sides; so are the frames. The cut-out rests for a
    few frames at one side and then moves on by 13 pixels a frame.
    """
    height, width = background.shape[:2]
    radius = 0.2 * min(height, width)
    way = max(GHOST_LAG + 2, int((width - 2 * radius) / _PASSING[0]))
    steps = np.concatenate([np.zeros(_REST), np.arange(way)]) - (way - 1) / 2
    still = _path(len(steps), (0, 0))
    moving = np.floor(steps[:, None] * np.array(_PASSING))
    return _scene(background, thing, [still, moving], (radius, radius))


def _path(frames: int, speed: tuple[int, int]) -> NDArray[np.float64]:
    """Places [T, 2] of a layer, (x, y) in whole pixels, around the middle."""
    return np.outer(np.arange(frames) - frames // 2, speed).astype(np.float64)


def _scene(
    background: RGB,
    thing: RGB,
    paths: Sequence[NDArray[np.float64]],
    radii: tuple[float, float],
) -> Scene:
    height, width = background.shape[:2]
    side = max(height, width)
    # A layer that is not used goes with the background, so that not even its middle shows.
    unused = LAYERS - len(paths)
    matrices = torch.zeros(1, LAYERS, len(paths[0]), 2, 3)
    matrices[..., 0, 0] = matrices[..., 1, 1] = 1
    for layer, path in enumerate([*paths, *[paths[0]] * unused]):
        matrices[0, layer, :, :, 2] = -torch.from_numpy(path).float()
    sizes = torch.zeros(1, LAYERS, 2)
    sizes[0, 0] = torch.inf
    sizes[0, 1] = torch.tensor(radii)
    motion = Trajectories(matrices, sizes, torch.zeros(1, LAYERS, 3))
    coverage = cover(motion, side)
    stills = [background, thing, *[background] * unused]
    squares = torch.stack([_square(still, side) for still in stills])[None]
    pictures = render(squares, motion, coverage)[0].permute(0, 2, 3, 1)
    rendered = pictures.round().clamp(0, 255).byte().numpy()
    frames = tuple(as_video(np.ascontiguousarray(_middle(f, height, width))) for f in rendered)
    return Scene(frames, motion, coverage)


def _square(still: RGB, side: int) -> torch.Tensor:
    height, width = still.shape[:2]
    top, left = (side - height) // 2, (side - width) // 2
    around = ((top, side - height - top), (left, side - width - left), (0, 0))
    padded = np.pad(still, around, mode="symmetric")
    return torch.from_numpy(padded).permute(2, 0, 1).float()


def _middle(square: NDArray[T], height: int, width: int) -> NDArray[T]:
    top, left = (square.shape[0] - height) // 2, (square.shape[1] - width) // 2
    return square[top : top + height, left : left + width]


def _grid(height: int, width: int) -> Floats:
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
