"""Automatic exposure and white balance of whole frames."""

import cv2
import numpy as np
import pytest
import torch

from streamfx.color import frame_from_rgb
from streamfx.demo import draw
from streamfx.training.color import rgb_to_ycc
from streamfx.training.exposure import expose, exposed, focus, refocus, some_focus, strong
from streamfx.training.networks import WIDTHS, Generator, PlanesGraph


def figures(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations of luma, Cb and Cr."""
    ycc = rgb_to_ycc(torch.from_numpy(picture).movedim(-1, 0)[None].float() / 255)[0]
    return ycc.mean((1, 2)).numpy(), ycc.std((1, 2)).numpy()


def dull(picture: np.ndarray) -> np.ndarray:
    tinted = 70 + (picture - 128.0) * 0.4 + np.array([12.0, 0.0, -12.0])
    return np.clip(tinted, 0, 255).astype(np.uint8)


def test_a_dull_picture_comes_near_a_good_one() -> None:
    scene = draw(2.0, 160, 128)
    before, after, good = (
        figures(p) for p in (dull(scene), *exposed(np.stack([dull(scene), scene])))
    )
    assert abs(after[0] - good[0]).max() < 0.6 * abs(before[0] - good[0]).max()
    assert after[1][0] > 1.25 * before[1][0]


@pytest.mark.parametrize("level", [0, 16, 128, 255])
def test_an_even_picture_is_left_alone(level: int) -> None:
    even = np.full((1, 32, 48, 3), level, np.uint8)
    np.testing.assert_allclose(exposed(even).astype(int), even, atol=1)


def test_a_fade_to_black_ends_in_black() -> None:
    scene = draw(2.0, 160, 128).astype(np.float32)
    steps = np.stack([scene * share for share in np.linspace(1, 0, 21)]).astype(np.uint8)
    levels = exposed(steps).mean((1, 2, 3))
    assert (np.diff(levels) < 0.5).all()
    assert levels[-1] == 0


def fine(picture: np.ndarray) -> float:
    """Deviation of the fine detail."""
    grey = picture.mean(-1)
    return float((grey - cv2.GaussianBlur(grey, (5, 5), 2))[4:-4, 4:-4].std())


def test_soft_and_sharp_pictures_come_near_each_other() -> None:
    scene = draw(2.0, 320, 180)
    soft = cv2.GaussianBlur(scene, (0, 0), 1.5)
    sharp = np.clip(scene + 2.0 * (scene - soft.astype(np.float32)), 0, 255).astype(np.uint8)
    before = fine(sharp) / fine(soft)
    after = [fine(picture) for picture in exposed(np.stack([soft, sharp]))]
    assert before > 3
    assert after[1] / after[0] < 0.5 * before


def test_grain_is_not_strong() -> None:
    detail = torch.tensor([-10.0, -1.5, -1, 0, 1, 1.5, 10])[None, None, None] / 255
    wanted = torch.tensor([-8.5, 0, 0, 0, 0, 0, 8.5])[None, None, None] / 255
    torch.testing.assert_close(strong(detail), wanted)


def test_soft_frames_get_a_gain_and_crisp_ones_a_loss_within_limits() -> None:
    random = np.random.default_rng(0)
    cells = torch.from_numpy(random.normal(0, 1 / 255, (1, 4, 64, 64)).astype(np.float32))
    gains = [focus(0.5 + amount * cells).item() for amount in (0.1, 4, 8, 100)]
    assert gains[0] == 2  # what is in it is grain
    assert gains[0] > gains[1] > gains[2] > gains[3]
    assert gains[1] > 1 > gains[2]
    assert gains[3] == pytest.approx(0.4)


def test_what_blur_takes_away_is_what_a_refocus_makes_up_for() -> None:
    scene = draw(2.0, 320, 180).mean(-1).astype(np.float32) / 255
    sharp, soft, softer = (
        torch.nn.functional.pixel_unshuffle(torch.from_numpy(picture)[None, None], 2)
        for picture in (scene, *(cv2.GaussianBlur(scene, (0, 0), x) for x in (0.4, 0.45)))
    )
    assert refocus(sharp, sharp) == 1
    gains = [refocus(sharp, each).item() for each in (soft, softer)]
    assert 1.02 < gains[0] < gains[1] < 2
    assert refocus(soft, sharp).item() == pytest.approx(1 / gains[0])
    # As the graph would say it of the whole frame.
    assert gains[0] == pytest.approx((focus(soft) / focus(sharp)).item(), rel=0.15)
    limits = refocus(sharp, 0 * soft).item(), refocus(0 * sharp, sharp).item()
    assert limits == (2, pytest.approx(0.4))


def test_some_focus_is_any_that_can_be() -> None:
    drawn = some_focus(np.random.default_rng(0), 400)
    assert drawn.shape == (400, 1, 1, 1)
    assert 0.4 <= drawn.min() < 0.45 and 1.9 < drawn.max() <= 2


def test_noise_moves_nothing_to_be_seen() -> None:
    random = np.random.default_rng(1)
    scene = draw(2.0, 320, 180)
    ycc = rgb_to_ycc(torch.from_numpy(scene).movedim(-1, 0)[None].float() / 255)
    noisy = ycc + torch.from_numpy(random.normal(0, 2 / 255, ycc.shape).astype(np.float32))
    shown, shaken = (frame * gain + offset for frame, (gain, offset) in
                     ((ycc, expose(ycc)), (ycc, expose(noisy))))  # fmt: skip
    assert (shown - shaken).abs().max() < 0.5 / 255


def test_the_graph_exposes_as_the_training_does() -> None:
    """A generator that adds nothing shows what it is given."""
    generator = Generator(WIDTHS["small"]).eval()
    torch.nn.init.zeros_(generator.exit.weight)
    scene = dull(draw(2.0, 160, 128))
    frame = frame_from_rgb(scene)
    y, u, v = (
        torch.from_numpy(np.ascontiguousarray(p))[None, None] for p in (frame.y, frame.u, frame.v)
    )
    h, w = u.shape[2:]
    nothing = (
        torch.zeros(1, 1, 2 * h, 2 * w), torch.zeros(1, 2, h, w), torch.zeros(1, h, w, 2),
        torch.zeros(1, 1, h, w), torch.zeros(1, 1, 2 * h, 2 * w),
    )  # fmt: skip
    style = torch.zeros(1, 64)
    with torch.no_grad():
        full, half = (
            PlanesGraph(generator)(y, u, v, style, torch.tensor([[strength]]), *nothing)[0]
            for strength in (1.0, 0.5)
        )
    wanted = (
        rgb_to_ycc(torch.from_numpy(exposed(scene[None])).movedim(-1, 1).float() / 255)[:, :1] * 255
    )
    # Every fourth pixel is measured there and every one here; colours are clipped here.
    assert (full.float() - wanted).abs().mean() < 2
    between = (y.float() + full.float()) / 2
    # The detail of a frame exposed by half is sharpened by half: not half of exposed and sharpened.
    assert (half.float() - between).abs().max() <= 1.5
