"""How the picture moved since the last frame, for graphs that hold their pictures steady.

The flow is found on a reduction (`streamfx.flow`). How far the past is to be believed is read from
how well the last frame, moved along, explains this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.flow import Floats, Flow, Luma, find_flow, grid, mean_around, sample

Mask = NDArray[np.bool_]

# (width, height) that every frame is brought to. One shape for all, because OpenCV's search
# crashes on some others, such as 320x28.
REDUCED = (320, 180)
# The past's share where it is believed: a mark that is new needs four frames to come out.
_PERSISTENCE = 0.75
# Frames in sight after which a thing's past has its full share. What a moving thing has just left
# is still drawn as things near it are; held from the start, that would trail behind it.
_SETTLED = 8
# Levels of difference between the moved past and the present: believed below the first,
# disbelieved above the second.
_BELIEVED, _DISBELIEVED = 6.0, 16.0
# Below this belief a thing has just come into sight.
_SEEN = 0.5
# Levels by which a motion must explain a frame better than none does: noise moves nothing.
_GAIN = 1.0
# Mean squared gradient, (levels per pixel) squared, below which a place shows no motion of its
# own. When the camera moves it goes with what is around, in a square of that side.
_SMOOTH, _AROUND = 8.0, 61
# Shares of the ends of the picture: what must be seen there, and what of that must move.
_ENOUGH, _MOST = 0.02, 0.6
# Pixels by which the motions of two things differ.
_ONE = 1.0


@dataclass(frozen=True)
class Motion:
    """From where the things of a frame came.

    `motion` and `trust` are the graph's inputs of these names (see `streamfx.engines.contract`),
    N = 1; the rest is for what follows things without it.

    Attributes:
        motion: float32 [1, H/2, W/2, 2], places in the last frame, its edges at -1 and 1.
        trust: float32 [1, 1, H/2, W/2], 0.._PERSISTENCE.
        known: float32 [180, 320], how long each thing in the frame has been in sight: 1 = for
            `_SETTLED` frames or more.
        x, y: float32 [180, 320], places in the last frame's reduction, its pixels.
        new: bool [180, 320], what was not in sight.
    """

    motion: Floats
    trust: Floats
    known: Floats
    x: Floats
    y: Floats
    new: Mask

    def inputs(self, strength: float) -> dict[str, Floats]:
        """The graph's inputs at a strength, 0..1: what is not restyled must not be held."""
        return {"motion": self.motion, "trust": self.trust * np.float32(strength)}


def reduce_luma(luma: Luma) -> Luma:
    """The luma, uint8 [H, W], resized to uint8 [180, 320], whatever its aspect ratio."""
    return np.asarray(cv2.resize(luma, REDUCED, interpolation=cv2.INTER_AREA), np.uint8)


def just_seen() -> Floats:
    """`Motion.known` of a stream's first frame."""
    return np.full(REDUCED[::-1], 1 / _SETTLED, np.float32)


def motion_between(previous: Luma, current: Luma, size: tuple[int, int], known: Floats) -> Motion:
    """Where the things of the current frame were, and whether they were there at all.

    Args:
        previous, current: `reduce_luma` of two frames of one size.
        size: (height, width) of those frames.
        known: see `Motion`; that of the previous frame.
    """
    flow = find_flow(previous, current)
    flow_x, flow_y, uncovered = _moved_at_all(flow, previous, current)
    here = grid(*current.shape)
    x, y = here[0] + flow_x, here[1] + flow_y
    error = mean_around(cv2.absdiff(sample(previous, x, y), current), 3)
    height, width = current.shape
    outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
    error[outside | uncovered] = _DISBELIEVED
    believed = _belief(error)
    new = believed < _SEEN
    believed *= sample(known, x, y)
    half = (size[1] // 2, size[0] // 2)
    scaled = cv2.merge([flow_x * np.float32(2 / width), flow_y * np.float32(2 / height)])
    motion = cv2.resize(scaled, half, interpolation=cv2.INTER_LINEAR)
    trust = cv2.resize(_PERSISTENCE * believed, half, interpolation=cv2.INTER_LINEAR)
    return Motion(
        motion=np.asarray(cv2.add(motion, _even_places(*half), dst=motion), np.float32)[None],
        trust=np.asarray(trust, np.float32)[None, None],
        known=np.minimum(believed + np.float32(1 / _SETTLED), 1),
        x=x,
        y=y,
        new=new,
    )


def _moved_at_all(flow: Flow, previous: Luma, current: Luma) -> tuple[Floats, Floats, Mask]:
    """The x and the y of the flow where it is a motion, zero elsewhere, and what it uncovers."""
    here = grid(*current.shape)
    moved = sample(previous, here[0] + flow.x, here[1] + flow.y)
    still_error, moved_error = cv2.absdiff(previous, current), cv2.absdiff(moved, current)
    moves = mean_around(moved_error, 9) + _GAIN < mean_around(still_error, 9)
    x, y = flow.x, flow.y
    smooth = flow.detail < _SMOOTH
    if _camera_moves(moves, ~smooth):
        share = mean_around(moves.view(np.uint8), _AROUND)
        taken_along = smooth & ~moves & (share > 0)
        share[share == 0] = 1
        x, y = (np.where(taken_along, mean_around(v * moves, _AROUND) / share, v) for v in (x, y))
        moves |= taken_along
    uncovered = _settle(x, y, moves, mean_around(still_error, 3), mean_around(moved_error, 3))
    return x * moves, y * moves, uncovered


def _camera_moves(moves: Mask, detailed: Mask) -> bool:
    """Whether what can be seen to move or to stand does move at both sides of the picture."""
    side = moves.shape[1] // 8
    ends = [(moves[:, part], detailed[:, part]) for part in (np.s_[:side], np.s_[-side:])]
    return all(seen.mean() > _ENOUGH and going[seen].mean() > _MOST for going, seen in ends)


def _settle(x: Floats, y: Floats, moves: Mask, still_error: Floats, moved_error: Floats) -> Mask:
    """Give each place of the last frame to one thing of this one, where two come from there.

    What a moving thing uncovers is taken along with it by the search, from places that are still
    there: that is struck from `moves`. Or it looks like the thing, as if that had stayed: that is
    returned.
    """
    height, width = moves.shape
    column, row = (np.rint(a + b) for a, b in zip(grid(height, width), (x, y), strict=True))
    at = (np.clip(row, 0, height - 1) * width + np.clip(column, 0, width - 1)).astype(np.intp)
    flow = x + 1j * y
    came = np.zeros(moves.size, flow.dtype)
    came[at[moves]] = flow[moves]
    stands = ~moves & (_belief(still_error) > _SEEN)
    left = moves & stands.ravel()[at] & (np.abs(flow) >= _ONE)
    left &= moved_error + _GAIN < still_error.ravel()[at]
    uncovered = np.zeros_like(moves)
    uncovered.ravel()[at[left]] = True
    came[(stands & ~uncovered).ravel()] = 0
    moves &= np.abs(came[at] - flow) < _ONE
    return uncovered & ~moves


def _belief(error: Floats) -> Floats:
    """How far a thing is taken for the one that it came from, 0..1."""
    belief = np.clip((_DISBELIEVED - error) / (_DISBELIEVED - _BELIEVED), 0, 1)
    return np.asarray(belief, np.float32)


@lru_cache(maxsize=4)
def _even_places(width: int, height: int) -> Floats:
    """The (x, y) of every pixel with the edges of the picture at -1 and 1, [H, W, 2]."""
    x = (np.arange(width) * 2 + 1) / width - 1
    y = (np.arange(height) * 2 + 1) / height - 1
    return np.stack(np.meshgrid(x, y), -1).astype(np.float32)
