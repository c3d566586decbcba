"""Borders, drift, ghosts and sliding texture, on pictures and scenes whose answers are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamfx.errors import InputError
from streamfx.training import artefacts, metrics, trials
from streamfx.training.clips import Clip, as_video
from streamfx.training.faces import Face
from streamfx.training.scenes import GHOST_LAG, panning_scene, passing_scene
from streamfx.training.stylists import Stylist, untouched

RGB = NDArray[np.uint8]


def texture(height: int, width: int, seed: int = 0, blur: float = 3.0) -> RGB:
    """Smooth random colours that fill the range."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur)
    return to_bytes(128 + 45 * smooth / smooth.std())


def to_bytes(values: NDArray[np.floating]) -> RGB:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def marks(frames: Sequence[RGB], places: Sequence[tuple[int, int]]) -> list[RGB]:
    """`frames` with a fine random texture on top, moved to a place in each."""
    height, width = frames[0].shape[:2]
    fine = np.random.default_rng(9).normal(0, 6, (height, width, 1))
    return [
        to_bytes(frame + np.roll(fine, place[::-1], axis=(0, 1)))
        for frame, place in zip(frames, places, strict=True)
    ]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """These pictures are too small to share among threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_edge_agreement_sees_places_and_not_tones() -> None:
    picture = texture(96, 160)
    assert metrics.edge_agreement(picture, picture) == pytest.approx(1.0)
    assert metrics.edge_agreement(picture, 255 - picture) == pytest.approx(1.0, abs=1e-3)
    assert metrics.edge_agreement(picture, to_bytes(64 + 0.5 * picture)) > 0.97
    assert abs(metrics.edge_agreement(picture, texture(96, 160, seed=1))) < 0.15
    assert metrics.edge_agreement(picture, np.roll(picture, 9, axis=1)) < 0.3
    assert metrics.edge_agreement(picture, np.full_like(picture, 90)) == 0


def test_warp_error_over_a_gap_compares_frames_so_far_apart() -> None:
    still = texture(64, 64)
    frames = [still // 2 + np.uint8(3 * i) for i in range(6)]
    for gap in (1, 5):
        motions = [metrics.estimate_motion(still, still)] * (6 - gap)
        assert metrics.warp_error(frames, motions, gap) == pytest.approx(3 * gap)
        ratio = metrics.warp_ratio(frames, [still] * 6, motions, gap)
        assert ratio == pytest.approx(3 * gap / 0.5, rel=0.05)


def test_a_ring_along_the_border_is_measured_and_a_change_of_tone_is_not() -> None:
    wide = texture(160, 192)
    narrow = wide[32:-32, 32:-32].copy()
    assert artefacts.border_excess(narrow, wide, 32) == 0
    assert artefacts.border_excess(to_bytes(narrow * 0.5), to_bytes(wide * 0.5 + 5.0), 32) < 0.1
    ringing = narrow.copy()
    ringing[:16] = ringing[:16] // 2
    ring = np.abs(ringing.astype(float) - narrow)
    share = ring[:16].mean() * 16 * 128 / (96 * 128 - 64 * 96)  # of the whole band
    assert artefacts.border_excess(ringing, wide, 32) == pytest.approx(share, rel=1e-3)


def test_drift_is_that_of_the_worst_channel_and_noise_is_none() -> None:
    still = (texture(96, 128) // 2 + 40).astype(np.uint8)
    redder = still + np.array([4, 0, 0], np.uint8)
    assert artefacts.channel_drift([still], [redder]) == pytest.approx(4.0)
    # Blotches count although their mean is nothing.
    blotches = np.where(np.indices((96, 128)).sum(0)[..., None] // 32 % 2, 3, -3)
    assert artefacts.channel_drift([still], [to_bytes(still + blotches)]) == pytest.approx(3.0)

    random = np.random.default_rng(1)

    def noisy(picture: RGB) -> list[RGB]:
        return [to_bytes(picture + random.normal(0, 2, picture.shape)) for _ in range(16)]

    assert artefacts.channel_drift(noisy(still), noisy(still), 8) < 0.1
    assert artefacts.channel_drift(noisy(still), noisy(redder), 8) == pytest.approx(4, abs=0.1)


def test_exact_motion_moves_one_frame_of_a_scene_onto_another() -> None:
    scene = panning_scene(texture(160, 224), texture(160, 224, seed=3), frames=12)
    assert scene.frames[0].shape == (160, 224, 3)
    for gap in (1, 5, 10):
        motions = scene.motions(gap)
        assert len(motions) == 12 - gap
        assert min(motion.visible.mean() for motion in motions) > 0.4
        # What is left is chroma, which has half the resolution.
        assert metrics.warp_error(scene.frames, motions, gap) < 1.0
    wrong = scene.motions(5)
    unmoved = [metrics.estimate_motion(scene.frames[0], scene.frames[0])] * len(wrong)
    assert metrics.warp_error(scene.frames, unmoved, 5) > 10


def test_texture_that_sticks_to_things_or_to_the_screen_is_told_apart() -> None:
    # No cut-out in sight: the whole picture pans by (3, -1).
    scene = panning_scene(texture(160, 224, blur=6), texture(160, 224, blur=6), frames=8)
    frames, motions = scene.frames, scene.motions(5)
    pan = [(3 * (i - 4), -(i - 4)) for i in range(8)]
    sticking = artefacts.texture_motion(marks(frames, pan), frames, motions, 5)
    dirty_pane = artefacts.texture_motion(marks(frames, [(0, 0)] * 8), frames, motions, 5)
    assert sticking.is_there
    assert sticking.amount == pytest.approx(6, abs=1)
    # The cut-out goes another way, so that a part of the texture is left behind.
    assert sticking.follows > 0.6
    assert sticking.stays < 0.2
    assert dirty_pane.stays > 0.95
    assert dirty_pane.follows < 0.2
    boiling = [marks([frame], [(7 * i * i, 5 * i)])[0] for i, frame in enumerate(frames)]
    neither = artefacts.texture_motion(boiling, frames, motions, 5)
    assert max(neither.follows, neither.stays) < 0.2


def test_a_filter_paints_no_texture() -> None:
    scene = panning_scene(texture(160, 224), texture(160, 224, seed=3), frames=8)
    muted = [to_bytes(60 + 0.5 * frame) for frame in scene.frames]
    found = artefacts.texture_motion(muted, scene.frames, scene.motions(5), 5)
    assert not found.is_there


def test_the_trail_is_what_was_covered_three_frames_ago() -> None:
    background = np.full((192, 256, 3), 90, np.uint8)
    thing = np.full((192, 256, 3), 200, np.uint8)
    scene = passing_scene(background, thing)
    last = len(scene.frames) - 1
    trail = scene.trail(last)
    assert trail.sum() > 300
    assert (scene.frames[last - GHOST_LAG][trail] > 100).mean() > 0.8
    for lag in range(GHOST_LAG):
        assert (scene.frames[last - lag][trail] < 95).all()
    # It rests first.
    assert np.array_equal(scene.frames[0], scene.frames[3])
    assert not np.array_equal(scene.frames[3], scene.frames[5])


def averaging(weight: float) -> Stylist:
    """A stylist that remembers: `weight` of its last output and the rest of its input."""

    def stylist(frames: Sequence[RGB]) -> list[RGB]:
        past = frames[0].astype(np.float64)
        outputs = []
        for frame in frames:
            past = weight * past + (1 - weight) * frame
            outputs.append(to_bytes(past))
        return outputs

    return stylist


@pytest.fixture(scope="module")
def still() -> trials.StillTrial:
    half = np.where(np.arange(192)[:, None, None] < 96, 40, 200)
    picture = np.broadcast_to(half, (192, 256, 3)).astype(np.uint8)
    return trials.still_trial("halves", as_video(picture.copy()), 3, None)


@pytest.fixture(scope="module")
def run() -> trials.RunTrial:
    wide = texture(160, 320, seed=1)
    frames = [as_video(np.ascontiguousarray(wide[:, 2 * i : 2 * i + 192])) for i in range(24)]
    return trials.run_trial(Clip("pan", (tuple(frames),)), None)


def test_a_stylist_that_remembers_is_found_to_ghost(
    run: trials.RunTrial, still: trials.StillTrial
) -> None:
    photo, shown = trials.measure_artefacts(untouched, [run], [still], None, 50)
    assert photo.ghost == 0
    assert [len(frames) for frames in shown] == [24]
    # Below the middle the turned cut-out is darker by 160 levels, above it lighter; it covers a
    # place for up to 5 frames, and half of what it left there goes in each of 3 frames.
    ghosting, _ = trials.measure_artefacts(averaging(0.5), [run], [still], None, 50)
    assert 160 * 0.5**3 * 0.6 < ghosting.ghost < 160 * 0.5**3
    slower, _ = trials.measure_artefacts(averaging(0.8), [run], [still], None, 50)
    assert slower.ghost > ghosting.ghost


def test_the_untouched_photo_has_no_artefacts(
    run: trials.RunTrial, still: trials.StillTrial
) -> None:
    photo, _ = trials.measure_artefacts(untouched, [run], [still], None, 50)
    assert photo.edges == pytest.approx(1)
    assert (photo.border, photo.drift, photo.ghost) == (0, 0, 0)
    assert photo.noisy_drift < 0.15
    assert np.isnan(photo.follows)
    assert (photo.faces, np.isnan(photo.found), np.isnan(photo.moved)) == (0, True, True)
    assert max(photo.warps.values()) < 1.2
    assert max(photo.exact.values()) < 1.2
    assert set(photo.trials) == {"clip pan", "still halves"}


def test_faulty_stylists_are_found_out(run: trials.RunTrial, still: trials.StillTrial) -> None:
    def darkening(frames: Sequence[RGB]) -> list[RGB]:
        """Loses a level in every tenth frame."""
        dark = [np.clip(f.astype(int) - i // 10, 0, 255) for i, f in enumerate(frames)]
        return [frame.astype(np.uint8) for frame in dark]

    drifting, _ = trials.measure_artefacts(darkening, [run], [still], None, 80)
    assert drifting.drift == pytest.approx(7)  # from the tenth frame to the eightieth
    assert drifting.noisy_drift == pytest.approx(6, abs=0.7)  # means over sixteen frames
    assert drifting.drifts[50][0] == pytest.approx(4)
    assert drifting.warps[10] > drifting.warps[1]

    def dirty_pane(frames: Sequence[RGB]) -> list[RGB]:
        return marks(frames, [(0, 0)] * len(frames))

    pane, _ = trials.measure_artefacts(dirty_pane, [run], [still], None, 50)
    assert pane.stays > 0.9
    assert pane.follows < 0.3

    def ringing(frames: Sequence[RGB]) -> list[RGB]:
        framed = [frame.copy() for frame in frames]
        for frame in framed:
            frame[:4] = frame[-4:] = 255
        return framed

    rings, _ = trials.measure_artefacts(ringing, [run], [still], None, 50)
    assert rings.border > 10


def test_a_short_clip_has_no_long_gaps(still: trials.StillTrial) -> None:
    frames = tuple(as_video(texture(160, 192, seed=i // 3)) for i in range(4))
    short = trials.run_trial(Clip("short", (frames,)), None)
    found, _ = trials.measure_artefacts(untouched, [short], [still], None, 50)
    assert not np.isnan(found.warps[1])
    assert np.isnan(found.warps[5])
    assert np.isnan(found.warps[10])


def test_faces_are_looked_at_in_every_moment_that_shows_one(still: trials.StillTrial) -> None:
    def finder(frame: RGB) -> list[Face]:
        """One where the first pixel is white; its eyes are 40 pixels apart."""
        landmarks = np.zeros((468, 2), np.float32)
        landmarks[[362, 263], 0] = 40
        return [Face(landmarks)] * int(frame[0, 0].min() == 255)

    picture = as_video(texture(160, 192))
    face = picture.copy()
    face[:8, :8] = 255
    clip = Clip("talk", ((picture,) * 24, (picture,) * 9, (face,) * 9, (picture,) * 8 + (face,)))
    run = trials.run_trial(clip, finder)
    assert [len(moment.frames) for moment in run.moments] == [9, 9]
    photo, shown = trials.measure_artefacts(untouched, [run], [still], finder, 50)
    assert (photo.faces, photo.found, photo.moved) == (3 + 1, 1, 0)
    assert [len(frames) for frames in shown] == [24]

    def forgetful(frames: Sequence[RGB]) -> list[RGB]:
        """Loses what is new after the first frame."""
        return [frames[0]] * len(frames)

    lost, _ = trials.measure_artefacts(forgetful, [run], [still], finder, 50)
    assert (lost.faces, lost.found) == (4, 0.75)


def test_noise_is_the_same_each_time_and_new_in_every_frame() -> None:
    noisy = trials.NoisyStill(texture(48, 64), 30, seed=2)
    assert len(noisy) == len(list(noisy)) == 30
    assert np.array_equal(noisy[4], noisy[4])
    assert not np.array_equal(noisy[4], noisy[5])
    assert np.array_equal(noisy[28:][1], noisy[-1])


def test_photos_become_scenes() -> None:
    assert trials.photo(texture(900, 2000)).shape == (720, 1280, 3)
    assert trials.photo(texture(2000, 900)).shape == (506, 900, 3)
    assert trials.photo(texture(400, 301)).shape == (168, 300, 3)
    with pytest.raises(InputError, match="both sides need 144 pixels"):
        trials.still_trial("tiny", texture(100, 200), 0, None)
