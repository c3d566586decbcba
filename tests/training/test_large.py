"""The wide network's recipe: whole, within its budget, and trained for two steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import parallel_steps
from streamfx.engines import load
from streamfx.engines.base import EngineOptions
from streamfx.styles import Pack
from streamfx.training.export import export_pack
from streamfx.training.networks import WIDTHS, multiply_accumulates
from streamfx.training.recipes import load_recipe
from streamfx.training.trainer import Trainer


def test_the_recipe_is_the_default_one_in_the_wide_network() -> None:
    large, default = load_recipe("large"), load_recipe("default")
    assert large.width == "large" and large.base is None
    assert large.styles == default.styles
    assert large.losses == default.losses
    assert large.data.extra_pictures == default.data.extra_pictures
    assert large.data.batch > default.data.batch
    assert 12e9 <= multiply_accumulates(WIDTHS[large.width], 1080, 1920) <= 15e9


def test_two_steps_on_a_cpu_make_a_pack_that_runs(tmp_path: Path) -> None:
    large, small = load_recipe("large"), parallel_steps.recipe()
    data = large.data.model_copy(update={"window": 96, "batch": 2, "still_batch": 4, "views": 2})
    optimizer = large.optimizer.model_copy(update={"warm_up": 0, "ramp": 1})
    recipe = large.model_copy(
        update={
            "styles": small.styles, "data": data, "teacher": small.teacher,
            "optimizer": optimizer,
        }
    )  # fmt: skip
    trainer = Trainer(recipe, parallel_steps.library())
    trainer.progress.iteration = 1
    single, clip = trainer.step(), trainer.step()
    assert "shift" in single and {"warp", "adversarial", "discriminator"} <= clip.keys()
    assert np.isfinite([*single.values(), *clip.values()]).all()

    pack = export_pack(tmp_path / "large.stylepack", recipe, trainer.average, {})
    assert Pack.open(pack.path).manifest.network.width == "large"
    random = np.random.default_rng(0)
    spec = trainer.average.generator.config.graph
    inputs = {
        name: random.integers(0, 256, shape, np.uint8)
        if name in "yuv"
        else np.zeros(shape, np.float32)
        for name, shape in spec.input_shapes(62, 98).items()
    }
    inputs["strength"][:] = 1
    options = EngineOptions(precision="fp32")
    graph = pack.read("generator.onnx")
    engine = load(graph, size=(62, 98), backend="onnxruntime", options=options)
    outputs = {name: np.empty(out.shape, out.dtype) for name, out in engine.outputs.items()}
    engine.run(inputs, outputs)
    engine.close()
    assert outputs["y_out"].shape == inputs["y"].shape
    assert (outputs["y_out"] != inputs["y"]).mean() > 0.1
