"""How the picture moved since the last frame, for graphs that carry their state along.

Dense inverse search (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016)
as OpenCV has it, on a reduction.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from streamfx.engines.contract import STATE_STRIDE, GraphSpec

# (width, height) that every frame is brought to. One shape for all, because OpenCV's search
# crashes on some others, such as 320x28.
_SIZE = (320, 180)


def reduce_luma(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The luma, uint8 [H, W], resized to uint8 [180, 320], whatever its aspect ratio."""
    return np.asarray(cv2.resize(luma, _SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def motion_between(
    previous: NDArray[np.uint8],
    current: NDArray[np.uint8],
    size: tuple[int, int],
    spec: GraphSpec,
) -> NDArray[np.float32]:
    """The graph's `motion` input: where each cell of the state was in the last frame.

    Args:
        previous, current: `reduce_luma` of two frames of one size.
        size: (height, width) of those frames.
        spec: of the graph; its margin lies left and above, the rest of the padding right and
            below, and cells outside the frame take the motion of the frame's edge.

    Returns:
        float32 [1, 2, h, w], (x, y) in pixels of 1/8 resolution: what the current frame shows
        at cell p, the last one showed at p + motion.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow = search.calc(current, previous, np.zeros((*current.shape, 2), np.float32))
    rows, columns = spec.state_size(*size)
    scale_y, scale_x = size[0] / current.shape[0], size[1] / current.shape[1]
    x = _cell_centres(columns, spec.margin) / scale_x - 0.5
    y = _cell_centres(rows, spec.margin) / scale_y - 0.5
    grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    cells = cv2.remap(flow, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    motion = cells * (np.array([scale_x, scale_y]) / STATE_STRIDE)
    return np.ascontiguousarray(motion.transpose(2, 0, 1)[None], np.float32)


def _cell_centres(cells: int, margin: int) -> NDArray[np.float64]:
    """Where the middles of a row of state cells lie, in pixels from the frame's edge."""
    return np.asarray((np.arange(cells) + 0.5) * STATE_STRIDE - margin, np.float64)
