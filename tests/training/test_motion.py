"""Clips made from stills: what is said about motion must be what happened."""

import numpy as np
import pytest
import torch

from streamfx.training.motion import (
    LAYERS,
    cover,
    draw_trajectories,
    flow_between,
    render,
    warp,
)

SIDE, STILL = 96, 224


def smooth_stills(batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(batch * LAYERS, 3, 14, 14, generator=generator)
    stills = torch.nn.functional.interpolate(coarse, size=(STILL, STILL), mode="bicubic")
    return stills.unflatten(0, (batch, LAYERS))


@pytest.mark.parametrize("seed", range(4))
def test_flow_is_exact_where_visible(seed: int) -> None:
    random = np.random.default_rng(seed)
    motion = draw_trajectories(random, batch=4, frames=3, side=SIDE, still_share=0.2)
    coverage = cover(motion, SIDE)
    frames = render(smooth_stills(4), motion, coverage)
    for later, earlier in ((1, 0), (2, 0), (0, 2)):
        flow, visible = flow_between(motion, coverage, later, earlier)
        assert visible.mean() > 0.3
        moved = warp(frames[:, earlier], flow)
        seen = visible[:, 0] > 0
        error = (frames[:, later] - moved).abs().amax(1)[seen]
        # At a cut-out's outline the interpolation touches the other layer.
        assert error.quantile(0.99) < 0.015
        unmoved = (frames[:, later] - frames[:, earlier]).abs().amax(1)[seen]
        assert error.mean() < 0.1 * unmoved.mean()


def test_stills_do_not_move() -> None:
    random = np.random.default_rng(0)
    motion = draw_trajectories(random, batch=8, frames=4, side=SIDE, still_share=1.0)
    coverage = cover(motion, SIDE)
    flow, visible = flow_between(motion, coverage, 3, 0)
    background = coverage.owner[:, 3] == 0
    assert flow.permute(0, 2, 3, 1)[background].abs().max() < 1e-3
    assert visible.any()


def test_weights_cover_every_pixel_once() -> None:
    motion = draw_trajectories(np.random.default_rng(2), 3, 3, SIDE, 0.3)
    coverage = cover(motion, SIDE)
    torch.testing.assert_close(coverage.weights.sum(1), torch.ones(3, 3, SIDE, SIDE))
    assert set(coverage.owner.unique().tolist()) > {0}
