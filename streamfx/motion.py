"""How the picture moved since the last frame, for graphs that hold their pictures steady.

Dense inverse search (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016)
as OpenCV has it, on a reduction. How far the past is to be believed is read from how well the
last frame, moved along, explains this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Luma = NDArray[np.uint8]

# (width, height) that every frame is brought to. One shape for all, because OpenCV's search
# crashes on some others, such as 320x28.
_SIZE = (320, 180)
# Scales of the search down to 1/2 of the reduction; the preset stops at 1/4.
_FINEST_SCALE = 1
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


@dataclass(frozen=True)
class Motion:
    """The graph's inputs of these names (see `streamfx.engines.contract`), N = 1.

    Attributes:
        motion: float32 [1, H/2, W/2, 2], places in the last frame, its edges at -1 and 1.
        trust: float32 [1, 1, H/2, W/2], 0.._PERSISTENCE.
        known: float32 [180, 320], how long each thing in the frame has been in sight: 1 = for
            `_SETTLED` frames or more. Not the graph's; see `motion_between`.
        seen_at: float32 [180, 320, 2], the (x, y) in pixels of the reduction where each thing in
            the frame came into sight. Not the graph's; see `streamfx.brushwork`.
    """

    motion: Floats
    trust: Floats
    known: Floats
    seen_at: Floats

    def inputs(self, strength: float) -> dict[str, Floats]:
        """The graph's inputs at a strength, 0..1: what is not restyled must not be held."""
        return {"motion": self.motion, "trust": self.trust * np.float32(strength)}


def reduce_luma(luma: Luma) -> Luma:
    """The luma, uint8 [H, W], resized to uint8 [180, 320], whatever its aspect ratio."""
    return np.asarray(cv2.resize(luma, _SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def just_seen() -> Floats:
    """`Motion.known` of a stream's first frame."""
    return np.full(_SIZE[::-1], 1 / _SETTLED, np.float32)


def seen_here() -> Floats:
    """`Motion.seen_at` of a stream's first frame."""
    return _pixels(*_SIZE[::-1])


def motion_between(
    previous: Luma, current: Luma, size: tuple[int, int], known: Floats, seen_at: Floats
) -> Motion:
    """Where the things of the current frame were, and whether they were there at all.

    Args:
        previous, current: `reduce_luma` of two frames of one size.
        size: (height, width) of those frames.
        known, seen_at: see `Motion`; those of the previous frame.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    search.setFinestScale(_FINEST_SCALE)
    flow = np.asarray(search.calc(current, previous, np.zeros((*current.shape, 2), np.float32)))
    here = _pixels(*current.shape)
    x, y = cv2.split(here + flow)
    moved = cv2.remap(previous, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    still_error, moved_error = (cv2.absdiff(picture, current) for picture in (previous, moved))
    moves = _mean(moved_error, 9) + _GAIN < _mean(still_error, 9)
    flow *= moves[..., None]
    error = _mean(np.where(moves, moved_error, still_error), 3)
    believed = np.clip((_DISBELIEVED - error) / (_DISBELIEVED - _BELIEVED), 0, 1)
    width, height = _SIZE
    there = here + flow
    believed[((there < 0) | (there > (width - 1, height - 1))).any(-1)] = 0
    x, y = cv2.split(there)
    came = cv2.remap(seen_at, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    came[believed < _SEEN] = here[believed < _SEEN]
    believed *= cv2.remap(known, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    half = (size[1] // 2, size[0] // 2)
    flow *= np.array([2 / width, 2 / height], np.float32)
    motion = cv2.add(cv2.resize(flow, half, interpolation=cv2.INTER_LINEAR), _places(*half))
    trust = cv2.resize(_PERSISTENCE * believed, half, interpolation=cv2.INTER_LINEAR)
    return Motion(
        motion=np.asarray(motion, np.float32)[None],
        trust=np.asarray(trust, np.float32)[None, None],
        known=np.minimum(believed + np.float32(1 / _SETTLED), 1),
        seen_at=np.asarray(came, np.float32),
    )


def _mean(levels: NDArray[Any], side: int) -> Floats:
    blurred = cv2.blur(levels.astype(np.float32), (side, side))
    return np.asarray(blurred, np.float32)


@lru_cache(maxsize=1)
def _pixels(height: int, width: int) -> Floats:
    """The (x, y) of every pixel, [H, W, 2]."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)


@lru_cache(maxsize=4)
def _places(width: int, height: int) -> Floats:
    """The (x, y) of every pixel with the edges of the picture at -1 and 1, [H, W, 2]."""
    x = (np.arange(width) * 2 + 1) / width - 1
    y = (np.arange(height) * 2 + 1) / height - 1
    return np.stack(np.meshgrid(x, y), -1).astype(np.float32)
