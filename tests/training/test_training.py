"""Training for real, on a very small scale: targets, steps, resume, pack, a restyled frame."""

import json
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load as load_tensors

import packs
from streamfx.errors import InputError
from streamfx.frames import Frame
from streamfx.stylizer import Stylizer
from streamfx.training import losses
from streamfx.training.batches import make_batch
from streamfx.training.color import luma
from streamfx.training.contents import list_pictures, read_contents
from streamfx.training.library import Library, build_library, read_sources
from streamfx.training.plan import Cost, estimate
from streamfx.training.recipes import Recipe
from streamfx.training.run import train
from streamfx.training.runlog import RunLog
from streamfx.training.trainer import Trainer
from videos import make_video

RECIPE = Recipe.model_validate(
    {
        "name": "tiny",
        "styles": {
            "stripes": {"picture": "stripes.png", "title": "Stripes"},
            "dots": {"picture": "dots.png", "title": "Dots"},
        },
        "brushwork": 5,
        "codes": {"steps": 2, "faces": 0},
        "data": {
            "max_pictures": 3,
            "window": 96,
            "batch": 2,
            "still_batch": 4,
            "extra_pictures": ["extra.png"],
            "extra_contents": 2,
        },
        "teacher": {"side": 192, "passes": 1},
        "optimizer": {"warm_up": 2, "ramp": 2, "iterations": 6},
    }
)


def build(recipe: Recipe, content: Path | None, pictures: Path, cache: Path, *told) -> Library:
    return build_library(recipe, read_sources(recipe, content, pictures, cache), *told)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("pictures")
    content, pictures = root / "content", root / "pictures"
    content.mkdir()
    pictures.mkdir()
    random = np.random.default_rng(0)
    for index in range(3):
        coarse = random.integers(0, 256, (12, 16, 3), np.uint8)
        cv2.imwrite(str(content / f"{index}.png"), cv2.resize(coarse, (320, 240)))
    for name, color in (
        ("stripes", (200, 80, 20)),
        ("dots", (20, 60, 220)),
        ("extra", (9, 200, 9)),
    ):
        painting = np.full((240, 300, 3), color, np.uint8)
        painting[:, ::12] = 255 - np.array(color, np.uint8)
        cv2.imwrite(str(pictures / f"{name}.png"), painting)
    return content, pictures


@pytest.fixture(scope="module")
def library(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Library:
    return build(RECIPE, *folders, tmp_path_factory.mktemp("cache"))


def test_targets_have_the_palette_of_their_painting(library: Library) -> None:
    stripes, dots, extra = library.styles
    assert library.catalogue == 2
    assert stripes.targets.shape == (3, 192, 192, 3)
    assert len(extra.targets) == len(extra.indices) == 2
    # The paintings are blue and red on the whole (stored as BGR, read as RGB).
    assert stripes.targets[..., 2].mean() > stripes.targets[..., 0].mean()
    assert dots.targets[..., 0].mean() > dots.targets[..., 2].mean()


def test_photographs_lend_their_colours_and_paint_nothing(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    teacher = RECIPE.teacher.model_copy(update={"passes": 0, "palette": 1, "levels": 0})
    made = build(RECIPE.model_copy(update={"teacher": teacher}), *folders, tmp_path)
    stripes, dots, _ = (style.targets.astype(float) for style in made.styles)
    assert stripes[..., 2].mean() > stripes[..., 0].mean() + 20
    assert dots[..., 0].mean() > dots[..., 2].mean() + 20
    for content, target in zip(made.contents, stripes, strict=True):
        pair = (picture.mean(-1).ravel() for picture in (content, target))
        assert np.corrcoef(*pair)[0, 1] > 0.9


def test_targets_are_made_once_and_go_on_where_they_were(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    made = []

    def stop_after_two(style: str, done: int, total: int) -> None:
        made.append((style, done))
        if len(made) == 2:
            raise Stop

    with pytest.raises(Stop):
        build(RECIPE, *folders, tmp_path, stop_after_two)
    first = list(made)
    build(RECIPE, *folders, tmp_path, lambda *told: made.append(told[:2]))
    assert made[: len(first)] == first
    assert len(made) == len(set(made)) == 3 + 3 + 2
    build(RECIPE, *folders, tmp_path, lambda *told: pytest.fail("made again"))


def test_batches_follow_from_their_number(library: Library) -> None:
    for number in (0, 4):
        one, two = make_batch(library, RECIPE, number), make_batch(library, RECIPE, number)
        torch.testing.assert_close(one.inputs, two.inputs, rtol=0, atol=0)
        torch.testing.assert_close(one.patches, two.patches, rtol=0, atol=0)
    still, clip = make_batch(library, RECIPE, 0), make_batch(library, RECIPE, 4)
    assert still.inputs.shape[1] == 1 and still.motion is None
    assert clip.inputs.shape[1] == 3 and clip.motion is not None
    assert make_batch(library, RECIPE, 5).motion is None
    assert not torch.equal(make_batch(library, RECIPE, 6).patches, clip.patches)


def test_soft_inputs_come_with_the_focus_that_makes_up_for_it(library: Library) -> None:
    def recipe(soft_share: float) -> Recipe:
        told = {"soft_share": soft_share, "noise": 0, "contrast": 1}
        return RECIPE.model_copy(update={"data": RECIPE.data.model_copy(update=told)})

    crisp, soft = recipe(0), recipe(1)
    pairs = [[make_batch(library, each, n) for each in (crisp, soft)] for n in range(0, 40, 4)]
    for batches in pairs:
        for batch in batches:
            assert batch.sharpen.shape == (len(batch.inputs), 1, 1, 1)
            assert batch.flat_sharpen.shape == (len(batch.flat), 1, 1, 1)
    means = [np.mean([pair[i].sharpen.mean() for pair in pairs]) for i in range(2)]
    assert means[1] > 1.05 * means[0]
    here, there = pairs[0][1].sharpen.chunk(2)
    assert torch.equal(here, there)


def test_single_frames_come_in_pairs_of_shifted_windows(library: Library) -> None:
    batch = make_batch(library, RECIPE, 0)
    assert batch.shifts is not None and len(batch.shifts) == 2
    for planes in (batch.inputs[:, 0], batch.targets[:, 0]):
        here, there = luma(planes).chunk(2)
        for a, b, (rows, columns) in zip(here, there, batch.shifts, strict=True):
            seen = a[:, rows:, columns:]
            torch.testing.assert_close(seen, b[:, : seen.shape[1], : seen.shape[2]])
            assert losses.equivariance(a, b, rows, columns, 4) < 1e-6


def test_a_grid_that_shows_is_no_equivariance() -> None:
    grid = torch.zeros(3, 32, 32)
    grid[:, ::4] = 1
    assert losses.equivariance(grid, grid, 4, 0, 2) == 0
    assert losses.equivariance(grid, grid, 1, 0, 2) > 0.3


def test_paling_does_not_lower_what_is_measured_per_contrast() -> None:
    torch.manual_seed(0)
    here, there = torch.rand(2, 3, 48, 48)
    error = losses.equivariance(here, there, 2, 3, 4) / losses.contrast(here)
    paler = losses.equivariance(here / 2, there / 2, 2, 3, 4) / losses.contrast(here / 2)
    torch.testing.assert_close(error, paler)


def test_strokes_of_ones_own_are_as_good_and_half_a_stroke_is_not() -> None:
    strokes = torch.zeros(1, 1, 64, 64)
    strokes[..., ::8, :] = 1
    elsewhere, half, light = strokes.roll(4, 2), strokes.mean() * torch.ones(1, 1, 64, 64), -strokes
    off = [losses.teacher_texture(x, strokes) for x in (elsewhere, half, light, strokes / 2)]
    assert off[0] < 0.3 * off[3]
    assert min(off[1:3]) > 1.2 * off[3]
    assert losses.teacher_mse(half, strokes) < losses.teacher_mse(elsewhere, strokes)
    assert losses.teacher_texture(strokes, strokes) == 0


def test_sharpening_belongs_to_the_targets_alone(library: Library) -> None:
    soft = RECIPE.model_copy(update={"data": RECIPE.data.model_copy(update={"sharpen": 0})})
    one, two = make_batch(library, RECIPE, 0), make_batch(library, soft, 0)
    assert torch.equal(one.inputs, two.inputs)
    assert not torch.equal(one.targets, two.targets)


def test_a_resumed_run_is_the_same_run(library: Library, tmp_path: Path) -> None:
    straight = Trainer(RECIPE, library)
    for _ in range(5):
        wanted = straight.step()
    assert {"adversarial", "temporal_adversarial", "teacher_mse", "discriminator"} <= wanted.keys()

    first = Trainer(RECIPE, library)
    for _ in range(3):
        first.step()
    first.save(tmp_path / "checkpoint.pt")
    second = Trainer(RECIPE, library)
    second.load(tmp_path / "checkpoint.pt")
    for _ in range(2):
        found = second.step()
    assert found == wanted
    for a, b in zip(straight.average.parameters(), second.average.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_damaged_checkpoint_is_refused(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="not a checkpoint"):
        Trainer(RECIPE, library).load(path)


def test_steps_bring_the_output_to_the_target(library: Library) -> None:
    trainer = Trainer(
        RECIPE.model_copy(
            update={"optimizer": RECIPE.optimizer.model_copy(update={"warm_up": 1000})}
        ),
        library,
    )
    found = [trainer.step(share=0)["teacher_l1"] for _ in range(60)]
    assert np.mean(found[-10:]) < 0.7 * np.mean(found[:10])


def test_a_run_makes_a_pack_that_restyles(folders: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "tiny.stylepack"
    run = tmp_path / "run"
    pack = train(RECIPE, *folders, output, run, console=Console(file=StringIO()))
    assert [style.name for style in pack.styles] == ["stripes", "dots"]
    assert pack.manifest.figures["iterations"] == 6
    brushwork = [style.brushwork for style in pack.styles]
    assert all(laid is not None and laid.amount <= 5 for laid in brushwork)
    trained = torch.load(run / "checkpoint.pt")["average_codes"]["weight"].numpy()
    refined = np.stack([style.vector for style in pack.styles])
    assert 0 < np.abs(refined - trained).max() < 0.1, "refined, and not trained anew"
    assert list((run / "samples").glob("*.jpg"))
    for line in (run / "log.jsonl").read_text().splitlines():
        json.loads(line)
    random = np.random.default_rng(0)
    frame = Frame(
        random.integers(0, 256, (64, 96), np.uint8),
        random.integers(0, 256, (32, 48), np.uint8),
        random.integers(0, 256, (32, 48), np.uint8),
    )
    with Stylizer("stripes:0.5+dots:0.5", pack=output) as stylizer:
        assert (stylizer(frame).y != frame.y).mean() > 0.1


@pytest.mark.parametrize("missing", ["content", "picture"])
def test_missing_pictures_are_named(
    folders: tuple[Path, Path], tmp_path: Path, missing: str
) -> None:
    content, pictures = folders
    empty = tmp_path / "empty"
    empty.mkdir()
    where = (empty, pictures) if missing == "content" else (content, empty)
    with pytest.raises(InputError, match="empty"):
        read_sources(RECIPE, *where, tmp_path / "cache")


def test_a_style_of_ones_own(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """All pictures of a folder become one style, from the networks of another pack."""
    content, pictures = folders
    base = train(RECIPE, content, pictures, tmp_path / "base.stylepack", tmp_path / "a",
                 console=Console(file=StringIO()))  # fmt: skip
    names = [path.name for path in list_pictures(pictures)]
    plan = RECIPE.model_copy(update={"base": str(base.path), "styles": {}})
    plan = plan.of_folder("my-own", names)
    library = build(plan, None, pictures, tmp_path / "targets")
    assert [len(style.paintings) for style in library.styles[:1]] == [len(names)]

    networks = Trainer(plan, library).networks
    kept = load_tensors(base.read("training/generator.safetensors"))
    for name, value in networks.generator.state_dict().items():
        torch.testing.assert_close(value, kept[name])
    code = np.mean([base.encode(p) for p in library.styles[0].paintings], axis=0)
    np.testing.assert_allclose(networks.codes.weight[0].detach(), code, atol=0.05)

    said = StringIO()
    pack = train(plan, None, pictures, tmp_path / "my-own.stylepack", tmp_path / "b",
                 console=Console(file=said, width=200))  # fmt: skip
    assert [style.name for style in pack.styles] == ["my-own"]
    assert "my-own: style distance" in said.getvalue()
    assert pack.mapping(3).shape == (64,)


def test_a_base_must_fit(library: Library, tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path)
    plan = RECIPE.model_copy(update={"base": str(pack.path)})
    with pytest.raises(InputError, match="holds no weights to start from"):
        Trainer(plan, library)


def test_contents_of_a_film(tmp_path: Path) -> None:
    make_video(tmp_path / "film.mp4", frames=12)
    contents = read_contents(tmp_path / "film.mp4", 4, 192)
    assert contents.shape == (4, 192, 192, 3)
    assert len({content.tobytes() for content in contents}) == 4
    assert read_contents(None, 3, 192).shape == (3, 192, 192, 3)
    (tmp_path / "note.txt").write_text("no film")
    for path, message in (("note.txt", "no film that can be read"), ("none", "no folder or film")):
        with pytest.raises(InputError, match=message):
            read_contents(tmp_path / path, 4, 192)


def test_what_a_run_would_cost(folders: tuple[Path, Path], tmp_path: Path) -> None:
    cost = estimate(RECIPE, *folders, tmp_path / "targets")
    assert (cost.contents, cost.styles, cost.extra) == (3, 2, 1)
    assert (cost.targets, cost.missing) == (8, 8)
    assert cost.target_seconds > 0 and cost.clip_seconds > 0
    assert not (tmp_path / "targets").exists(), "a dry run leaves something behind"
    build(RECIPE, *folders, tmp_path / "targets")
    known = estimate(RECIPE, *folders, tmp_path / "targets")
    assert known.missing == 0


def test_what_a_budget_is_enough_for() -> None:
    cost = Cost(
        contents=3, styles=1, extra=0, targets=3, missing=3, target_seconds=60, parameters=1000,
        macs=2_000_000_000, single_seconds=1, clip_seconds=3, steps=100, warm_up=20,
    )  # fmt: skip
    assert cost.training_seconds == 20 + 80 * 2
    assert cost.within(0.25) == 15
    assert cost.within(1) == 20 + 20
    said = "\n".join(cost.lines(None))
    assert "3 of 3 to make, about 3 minutes" in said and "100 steps: about 3 minutes" in said
    assert "1 minutes: about 40 steps" in "\n".join(cost.lines(1))


def test_terms_are_written_down_and_drawn(tmp_path: Path) -> None:
    for first in (0, 50):  # the second sitting goes on with the log of the first
        with RunLog(tmp_path) as log:
            for step in range(first, first + 50):
                log.write(step, 0.5 * step, {"style": 1 / (1 + step), "warp": 0.1})
            log.plot()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == list(range(100))
    drawn = (tmp_path / "losses.svg").read_text()
    assert drawn.startswith("<?xml") and drawn.rstrip().endswith("</svg>")
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.plot()
    assert not (tmp_path / "losses.svg").exists()
