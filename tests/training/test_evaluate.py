"""The looks report, on a small real clip with a tiny pack, the real judge and the real peer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import graphs
import packs
from streamfx.cli import main
from streamfx.color import frame_from_rgb, frame_to_rgb
from streamfx.errors import InputError
from streamfx.pictures import read_picture
from streamfx.sheets import write_picture
from streamfx.styles import Pack, write_pack
from streamfx.stylizer import Stylizer
from streamfx.training import report
from streamfx.training.clips import find_clips, read_clip
from streamfx.training.judge import LAYERS, Judge, match_luminance
from streamfx.training.metrics import GridPeak
from streamfx.training.probes import SHIFTS, Figures, make_probe, measure
from streamfx.training.report import FILTER, OURS, PEER, ROWS, SMOOTHED, UNTOUCHED, Bar, bars
from streamfx.training.stylists import ColorFilter, PackStylist, Peer, Smoothed, untouched

RGB = NDArray[np.uint8]


def texture(height: int, width: int, seed: int, blur: float = 3.0) -> RGB:
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur)
    return np.asarray(np.clip(np.rint(128 + 45 * smooth / smooth.std()), 0, 255), np.uint8)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """These pictures are too small to share among threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip that pans, a painting and a pack of one style."""
    path = tmp_path_factory.mktemp("looks")
    (path / "clips").mkdir()
    wide = texture(160, 320, seed=1)
    with av.open(str(path / "clips" / "pan.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 192, 160, "yuv420p"
        for i in range(50):
            frame = np.ascontiguousarray(wide[:, 2 * i : 2 * i + 192])
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(stream.encode())
    (path / "clips" / "notes.txt").write_text("no clip")
    write_picture(path / "painting.png", texture(200, 240, seed=2, blur=1.0))
    pack(path)
    return path


def pack(path: Path) -> Pack:
    manifest = packs.manifest()
    manifest["styles"] = manifest["styles"][:1]
    manifest["styles"][0]["source"] = "painting.png"
    members = packs.members()
    kept = {"generator.onnx", manifest["styles"][0]["thumbnail"]}
    return write_pack(path / "tiny.stylepack", manifest, {name: members[name] for name in kept})


def test_clips_are_read_from_several_places(folder: Path) -> None:
    (path,) = find_clips([folder / "clips"])
    clip = read_clip(path, width=160, runs=2, run_length=4)
    assert clip.name == "pan"
    assert [len(run) for run in clip.runs] == [4, 4]
    assert clip.runs[0][0].shape == (134, 160, 3)
    assert not np.array_equal(clip.runs[0][0], clip.runs[1][0])


def test_bad_clips_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clip found"):
        find_clips([tmp_path])
    with pytest.raises(InputError, match=r"there is no file or folder .*gone"):
        find_clips([tmp_path / "gone"])
    (tmp_path / "bad.mp4").write_bytes(b"\0" * 1000)
    with pytest.raises(InputError, match="cannot read video"):
        read_clip(tmp_path / "bad.mp4")
    with pytest.raises(InputError, match="both sides need 144 pixels"):
        make_probe(read_clip(folder / "clips" / "pan.mp4", width=160), seed=0)


def test_a_probe_is_the_same_each_time(folder: Path) -> None:
    clip = read_clip(folder / "clips" / "pan.mp4", width=192, runs=1, run_length=3)
    first, second = make_probe(clip, seed=4), make_probe(clip, seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(first.noisy, second.noisy, strict=True))
    assert not np.array_equal(first.noisy[0], first.noisy[1])
    assert len(first.windows) == 1 + len(SHIFTS)
    assert {s[0] for s in SHIFTS} == {s[1] for s in SHIFTS} == set(range(1, 16))


def test_figures_of_the_untouched_photo_and_of_one_that_drifts(folder: Path) -> None:
    probe = make_probe(read_clip(folder / "clips" / "pan.mp4", width=192, runs=1), seed=0)
    judge = Judge()
    targets = [judge.target(texture(200, 240, seed=2, blur=1.0), 192 * 160)]

    photo = measure(untouched, [probe], judge, targets)
    assert photo.gain == pytest.approx(1.0)
    assert photo.ssim == pytest.approx(1.0)
    assert photo.shift < 1.0  # what 4:2:0 does to an odd shift of colour
    assert (photo.flat, photo.drift, photo.peak.found) == (0, 0, False)
    assert photo.clips["pan"]["style"] == photo.style

    def faulty(frames: Sequence[RGB]) -> list[RGB]:
        """Darkens with time, and has a screen door that stands still."""
        door = np.where(np.arange(frames[0].shape[1]) % 8 == 0, 12, 0).astype(np.uint8)
        dark = [np.clip(f.astype(int) - i // 10, 0, 243) for i, f in enumerate(frames)]
        return [f.astype(np.uint8) + door[:, None] for f in dark]

    fault = measure(faulty, [probe], judge, targets)
    assert fault.drift == pytest.approx(19, abs=1)
    assert fault.peak.found
    assert fault.peak.period in (4, 8)
    assert fault.flat > 3
    assert fault.shift > 2
    assert fault.warp > photo.warp


def test_the_judge_tells_a_painting_from_a_photo() -> None:
    judge = Judge()
    painting = texture(200, 240, seed=2, blur=1.0)
    target = judge.target(painting, painting.shape[0] * painting.shape[1])
    assert len(target.colour) == len(LAYERS)
    assert judge.compare(painting, target) == pytest.approx((0, 0), abs=1e-6)
    other = texture(200, 240, seed=7, blur=1.0)
    smooth = texture(200, 240, seed=7, blur=6.0)
    assert judge.compare(other, target)[0] < 0.3 * judge.compare(smooth, target)[0]
    assert judge.compare(other, target)[1] < 0.3 * judge.compare(smooth, target)[1]
    # The grey figure does not see exposure, the other does.
    darker = (other // 2 + 20).astype(np.uint8)
    plain, dark = judge.compare(other, target), judge.compare(darker, target)
    assert dark[0] > 2 * plain[0]
    assert dark[1] == pytest.approx(plain[1], abs=0.03)


def test_luminance_matching() -> None:
    grey = texture(64, 64, seed=1)[..., 0]
    target = (texture(64, 64, seed=2)[..., 1] // 2 + 40).astype(np.uint8)
    matched = match_luminance(grey, target)
    assert matched.mean() == pytest.approx(target.mean(), abs=0.5)
    assert matched.std() == pytest.approx(target.std(), abs=0.5)


def test_the_colour_filter_takes_the_paintings_colours() -> None:
    frame = texture(144, 192, seed=3)
    painting = np.clip(texture(100, 100, seed=4) + np.array([60.0, 0, -60]), 0, 255)
    (filtered,) = ColorFilter(painting.astype(np.uint8), sharpening=0)([frame])
    wanted = painting.reshape(-1, 3).mean(0)
    assert np.abs(filtered.reshape(-1, 3).mean(0) - wanted).max() < 12
    assert np.abs(frame.reshape(-1, 3).mean(0) - wanted).max() > 30


def test_smoothing_averages_along_motion() -> None:
    wide = texture(96, 200, seed=5)
    frames = [np.ascontiguousarray(wide[:, 3 * i : 3 * i + 160]) for i in range(6)]
    random = np.random.default_rng(6)

    def noisy(given: Sequence[RGB]) -> list[RGB]:
        return [
            np.clip(np.rint(f + random.normal(0, 10, f.shape)), 0, 255).astype(np.uint8)
            for f in given
        ]

    inside = np.s_[10:-10, 10:-30]
    error = np.abs(Smoothed(noisy)(frames)[-1].astype(float) - frames[-1])[inside].mean()
    assert error < 0.65 * np.abs(noisy(frames)[-1].astype(float) - frames[-1])[inside].mean()


def test_a_pack_is_measured_as_the_program_runs_it(folder: Path) -> None:
    frames = [texture(144, 192, seed=8)] * 3
    with Stylizer("great-wave", pack=pack(folder), precision="fp32") as stylizer:
        outputs = PackStylist(stylizer)(frames)
        again = PackStylist(stylizer)(frames)
    y = frame_from_rgb(frames[0]).y.astype(int)
    first = frame_from_rgb(outputs[0]).y.astype(int)
    assert np.median(first - y) == pytest.approx(graphs.STYLE_GAIN, abs=3)
    assert not np.array_equal(outputs[1], outputs[0])  # the state was carried on …
    assert all(np.array_equal(a, b) for a, b in zip(outputs, again, strict=True))  # … and reset
    assert outputs[0].shape == frame_to_rgb(frame_from_rgb(frames[0])).shape


def test_the_peers_pictures_are_kept(tmp_path: Path) -> None:
    frame, painting = texture(96, 128, seed=9), texture(100, 100, seed=10)
    first = Peer(painting, tmp_path)([frame, frame])
    (kept,) = tmp_path.iterdir()
    assert np.array_equal(first[0], first[1])
    # The next report takes the picture that lies there.
    write_picture(kept, 255 - first[0])
    assert np.array_equal(Peer(painting, tmp_path)([frame])[0], 255 - first[0])
    Peer(texture(100, 100, seed=11), tmp_path, limit=1)([frame])
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]


def figures(
    style: float,
    *,
    grey: float = 0.1,
    warp: float = 1.0,
    gain: float = 0.5,
    ssim: float = 0.6,
    shift: float = 2.0,
) -> Figures:
    return Figures(style, grey, warp, gain, ssim, shift, 1.0, 0.5, GridPeak(8, 0.01, 2.0))


def rows(ours: Figures) -> dict[str, Figures]:
    return {
        OURS: ours,
        PEER: figures(0.2),
        SMOOTHED: figures(0.2),
        FILTER: figures(0.3, grey=0.2),
        UNTOUCHED: figures(0.4),
    }


def test_bars() -> None:
    def failed(found: list[Bar]) -> set[str]:
        return {bar.name for bar in found if not bar.passed}

    assert failed(bars(rows(figures(0.3)))) == set()
    assert failed(bars(rows(figures(0.31, grey=0.16, warp=1.7, gain=0.8, ssim=0.49, shift=5)))) == {
        *("style", "grey", "warp", "gain", "ssim", "shift")
    }
    assert failed(bars(rows(figures(0.37, ssim=0.41, warp=1.9)), report.ONE_STYLE)) == set()
    grid = Figures(0.1, 0.1, 1, 0.5, 0.6, 2, 1, 0.5, GridPeak(16, 0.4, 9.0))
    assert failed(bars(rows(grid), report.ONE_STYLE)) == {"grid"}


def test_one_bad_style_fails_the_report() -> None:
    good, bad = rows(figures(0.1)), rows(figures(0.1, warp=2.1))
    whole = report.Report("p", {"a": good, "b": bad}, "engine", ["clip (640x360)"])
    over_average, each = whole.verdicts()
    assert all(bar.passed for bar in over_average)
    assert all(bar.passed for bar in each["a"])
    assert [bar.name for bar in each["b"] if not bar.passed] == ["warp"]
    assert not whole.passed
    assert "Not every bar is kept" in whole.markdown()
    assert "**2.1 ≤ 2**" in whole.markdown()


def test_the_command_writes_page_figures_and_sheet(folder: Path, tmp_path: Path) -> None:
    arguments = [
        *("evaluate", str(folder / "tiny.stylepack"), "--clips", str(folder / "clips")),
        *("--pictures", str(folder), "-o", str(tmp_path / "looks.md"), "--width", "192"),
        *("--peer-cache", str(tmp_path / "peer"), "--sheet", str(tmp_path / "sheet.png")),
    ]
    run(arguments, 0)
    page = (tmp_path / "looks.md").read_text()
    for row in ROWS:
        assert f"| {row} |" in page
    assert "efficientnet-lite2" in page
    found = json.loads((tmp_path / "looks.json").read_text())
    assert found["average"][PEER]["warp"] > found["average"][UNTOUCHED]["warp"]
    assert found["styles"]["great-wave"]["rows"][OURS]["drift"] > 0
    assert read_picture(tmp_path / "sheet.png").shape[1] > 2 * 320

    run(arguments, 0)  # with the peer's pictures kept: the same page
    assert (tmp_path / "looks.md").read_text() == page
    assert json.loads((tmp_path / "looks.json").read_text()) == found
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("looks.json", "looks.md", "peer", "sheet.png")
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "looks.txt"], "Markdown"),
        (["-o", "looks.md", "--painting", "great-wave"], "STYLE=FILE"),
        (["-o", "looks.md", "--painting", "great-wav=x.png"], "did you mean great-wave"),
        (["-o", "looks.md"], "painting of great-wave is not at"),
    ],
)
def test_bad_options(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    clips = ["--clips", str(folder / "clips")]
    run(["evaluate", str(folder / "tiny.stylepack"), *clips, *options], 2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def run(arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert (stopped.value.code or 0) == code
