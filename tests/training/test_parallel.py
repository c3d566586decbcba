"""A run on two processes is the same run as on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import parallel_steps
from streamfx.errors import InputError
from streamfx.styles import Pack
from streamfx.training import trainer as trainer_module
from streamfx.training.batches import make_batch
from streamfx.training.color import planes_to_rgb
from streamfx.training.faceterms import content_of_faces
from streamfx.training.parallel import Processes, share_of
from streamfx.training.views import style_of_views

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def launch(*command: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*map(str, command)], env=environment, cwd=cwd, capture_output=True, text=True,
        timeout=280, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    script = parallel_steps.__file__
    assert script
    launch(sys.executable, script, tmp_path, cwd=tmp_path)
    launch(*TORCHRUN, script, tmp_path, cwd=tmp_path)
    alone, first, second = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("0-1", "0-2", "1-2")
    )
    assert first["values"] == second["values"]
    terms = {name for values in alone["values"] for name in values}
    assert {"warp", "shift", "style", "adversarial", "discriminator", "face_content"} <= terms
    for wanted, found in zip(alone["values"], first["values"], strict=True):
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    for part, wanted in alone["parts"].items():
        for name, value in wanted.items():
            # Not a bit of difference between the processes, averaged weights included.
            assert torch.equal(first["parts"][part][name], second["parts"][part][name])
            torch.testing.assert_close(first["parts"][part][name], value, rtol=0, atol=1e-3)


@pytest.mark.parametrize("number", [0, 4])
def test_shares_make_up_the_batch(number: int) -> None:
    recipe, library = parallel_steps.recipe(), parallel_steps.library()
    batch = make_batch(library, recipe, number)
    shares = [share_of(batch, rank, 2) for rank in range(2)]
    for name in ("flat", "flat_sharpen"):
        parts = [getattr(share, name) for share in shares]
        assert torch.equal(torch.cat(parts), getattr(batch, name))
    for share in shares:
        assert len(share.inputs) == len(share.styles) == len(batch.inputs) // 2
    if batch.shifts is None:
        assert torch.equal(torch.cat([share.inputs for share in shares]), batch.inputs)
        assert batch.motion is not None and shares[1].motion is not None
        assert torch.equal(shares[1].motion.matrices, batch.motion.matrices[2:])
    else:
        halves = [share.inputs.chunk(2) for share in shares]
        assert torch.equal(torch.cat([half[0] for half in halves]), batch.inputs.chunk(2)[0])
        assert torch.equal(torch.cat([half[1] for half in halves]), batch.inputs.chunk(2)[1])
        np.testing.assert_array_equal(
            np.concatenate([share.shifts for share in shares if share.shifts is not None]),
            batch.shifts,
        )
        assert batch.views is not None
        views = [share.views for share in shares if share.views is not None]
        assert torch.equal(torch.cat([each.inputs for each in views]), batch.views.inputs)
        assert torch.equal(torch.cat([each.styles for each in views]), batch.views.styles)
        paintings = [each.paintings for each in views if each.paintings is not None]
        assert batch.views.paintings is not None
        assert torch.equal(torch.cat(paintings), batch.views.paintings)


def test_a_batch_must_be_shared_evenly() -> None:
    Processes(0, 2).check(parallel_steps.recipe())
    Processes().check(parallel_steps.recipe(batch=3))
    with pytest.raises(InputError, match=r"data.batch = 6 .* 2 processes; .* multiple of 4"):
        Processes(0, 2).check(parallel_steps.recipe(batch=6))


RECIPE = """
name = "tiny"
[styles.stripes]
picture = "stripes.png"
title = "Stripes"
[data]
window = 96
batch = 4
still_batch = 8
[teacher]
side = 192
passes = 1
[optimizer]
warm_up = 1
ramp = 1
iterations = 4
"""


COMMAND = (
    "streamfx.cli", "train", "tiny.toml", "--pictures", ".", "--content", "content", "-o",
    "tiny.stylepack",
)  # fmt: skip


def test_torchrun_writes_one_pack_and_one_log(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    stripes = np.full((240, 300, 3), (200, 80, 20), np.uint8)
    stripes[:, ::12] = 30
    cv2.imwrite(str(tmp_path / "stripes.png"), stripes)
    noise = np.random.default_rng(0).integers(0, 256, (3, 12, 16, 3), np.uint8)
    content = tmp_path / "content"
    content.mkdir()
    for index, picture in enumerate(noise):
        cv2.imwrite(str(content / f"{index}.png"), cv2.resize(picture, (320, 240)))
    run = tmp_path / "runs" / "tiny"
    told = launch(*TORCHRUN, "-m", *COMMAND, cwd=tmp_path).stderr
    assert told.count("stripes: style distance") == 1
    figures = Pack.open(tmp_path / "tiny.stylepack").manifest.figures
    assert figures["iterations"] == 4
    assert all(np.isfinite(value) for value in figures["losses"].values())
    assert len(list((run / "samples").glob("*.jpg"))) == 1
    assert [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] == []


def test_a_batch_that_cannot_be_shared_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE.replace("batch = 4", "batch = 2", 1))
    # torchrun would take our --run for an option of its own, but for the two dashes.
    refused = launch(*TORCHRUN, "-m", "--", *COMMAND, "--run", "b", cwd=tmp_path, check=False)
    assert refused.returncode != 0
    assert "data.batch = 2 cannot be shared among 2 processes" in refused.stderr


def test_a_step_leaves_nothing_on_the_cpu() -> None:
    """What a GPU would refuse, tensors of two devices in one operation, PyTorch's shapes-only
    device refuses too."""
    device = torch.device("meta")
    trainer = parallel_steps.ExactTrainer(
        parallel_steps.recipe(), parallel_steps.library(), Processes(device=device)
    )
    with pytest.raises(RuntimeError, match="device"):
        torch.ones(3) + torch.ones(3, device=device)
    for number in (1, 4):
        made = make_batch(trainer.library, trainer.recipe, number)
        batch = trainer.processes.share(made)
        codes, distance = trainer._codes(batch)
        out, flat = trainer._run(batch, codes)
        terms = {"encoder": distance, **trainer._supervised(batch, out, flat)}
        if batch.views is not None:
            networks, goals, features = trainer.networks, trainer.goals, trainer.features
            terms["style"] = style_of_views(batch.views, networks, goals, features, 16, True)
        if batch.motion is not None:
            everything = torch.arange(len(codes), device=device)
            rgb = planes_to_rgb(out[:, 1])
            shown = trainer_module._Shown(
                everything, rgb, rgb, rgb, codes.detach(), distance.detach(),
                trainer._triples(batch, out), trainer._triples(batch, batch.targets),
                codes.detach(),
            )  # fmt: skip
            terms["content"] = trainer._content(batch, shown)
            terms |= trainer._adversarial(shown)
            terms["face_content"] = content_of_faces(batch, out, 16, trainer.features)
        assert {value.device for value in terms.values()} == {device}
        torch.stack(list(terms.values())).sum().backward()
        assert all(p.grad is None or p.grad.device == device for p in trainer.networks.parameters())
