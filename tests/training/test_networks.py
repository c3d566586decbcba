"""The networks and the graphs that are exported from them."""

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional

from streamfx.engines import choose, load
from streamfx.engines.base import EngineOptions, Unavailable
from streamfx.engines.contract import GraphSpec
from streamfx.training.export import export_generator, export_style_encoder
from streamfx.training.filters import Double, Enlarge, FineDetail
from streamfx.training.networks import (
    WIDTHS,
    Generator,
    PlanesGraph,
    StyleEncoder,
    multiply_accumulates,
)


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(3)
    network = Generator(WIDTHS["small"]).eval()
    # A fresh network hardly changes its input: make it do something.
    torch.nn.init.normal_(network.exit.weight, std=0.004)
    return network


@pytest.fixture(scope="module")
def graph(generator: Generator) -> bytes:
    return export_generator(generator)


def feeds(spec: GraphSpec, height: int, width: int, luma: np.ndarray | None = None) -> dict:
    random = np.random.default_rng(5)
    made = {}
    for name, shape in spec.input_shapes(height, width).items():
        if name in "yuv":
            made[name] = random.integers(0, 256, shape, np.uint8)
        else:
            made[name] = random.normal(0, 0.5, shape).astype(np.float32)
    made["strength"][:] = 0.8
    for name in ("past_y", "past_c"):
        made[name] = random.uniform(0, 255, made[name].shape).astype(np.float32)
    made["trust"] = random.uniform(0, 1, made["trust"].shape).astype(np.float32)
    if luma is not None:
        made["y"][0, 0] = luma
    return made


def run(graph: bytes, inputs: dict, backend: str, precision: str) -> dict:
    size = inputs["y"].shape[2:]
    engine = load(graph, size=size, backend=backend, options=EngineOptions(precision=precision))
    outputs = {name: np.empty(spec.shape, spec.dtype) for name, spec in engine.outputs.items()}
    engine.run(inputs, outputs)
    engine.close()
    return outputs


def needs_bf16() -> None:
    found = choose("openvino").probe()
    if isinstance(found, Unavailable) or "bf16" not in found.precisions:
        pytest.skip("this CPU does not list bf16")


def torch_run(generator: Generator, inputs: dict) -> dict:
    with torch.no_grad():
        outputs = PlanesGraph(generator)(*(torch.from_numpy(x) for x in inputs.values()))
    names = ("y_out", "u_out", "v_out", "past_y_out", "past_c_out")
    return {name: tensor.numpy() for name, tensor in zip(names, outputs, strict=True)}


def test_costs_stay_within_the_budget() -> None:
    assert 1.8e9 < multiply_accumulates(WIDTHS["small"], 720, 1280) <= 2.3e9
    assert 12e9 <= multiply_accumulates(WIDTHS["large"], 1080, 1920) <= 15e9


@pytest.mark.parametrize("size", [(96, 128), (62, 34), (146, 98)])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_fp32_back_ends_agree_with_torch(
    generator: Generator, graph: bytes, size: tuple[int, int], backend: str
) -> None:
    inputs = feeds(generator.config.graph, *size)
    wanted = torch_run(generator, inputs)
    found = run(graph, inputs, backend, "fp32")
    for name in ("y_out", "u_out", "v_out"):
        assert found[name].shape == wanted[name].shape
        # Rounding may fall either way where two back ends differ in the last bit.
        difference = np.abs(found[name].astype(int) - wanted[name].astype(int))
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01
    for name in ("past_y_out", "past_c_out"):
        np.testing.assert_allclose(found[name], wanted[name], atol=0.05)


def test_bf16_keeps_smooth_gradients(generator: Generator, graph: bytes) -> None:
    needs_bf16()
    ramp = np.linspace(40, 200, 256)[None].repeat(96, 0).astype(np.uint8)
    inputs = feeds(generator.config.graph, 96, 256, ramp)
    inputs["u"][:], inputs["v"][:] = 120, 130
    inputs["trust"][:] = 0
    exact = run(graph, inputs, "openvino", "fp32")["y_out"].astype(int)
    fast = run(graph, inputs, "openvino", "bf16")["y_out"].astype(int)
    assert np.abs(exact - fast).mean() < 1.0
    assert len(np.unique(fast)) >= 0.9 * len(np.unique(exact))


def test_strength_zero_is_the_input(generator: Generator, graph: bytes) -> None:
    inputs = feeds(generator.config.graph, 64, 64)
    inputs["strength"][:] = inputs["trust"][:] = 0
    outputs = run(graph, inputs, "onnxruntime", "fp32")
    for plane in "yuv":
        np.testing.assert_array_equal(outputs[f"{plane}_out"], inputs[plane])


def places(height: int, width: int, right: float = 0, down: float = 0) -> np.ndarray:
    """The graph's `motion` where all moved by so many pixels."""
    x = (np.arange(width // 2) * 4 + 2 + 2 * right) / width - 1
    y = (np.arange(height // 2) * 4 + 2 + 2 * down) / height - 1
    return np.stack(np.meshgrid(x, y), -1)[None].astype(np.float32)


def test_the_past_is_moved_to_the_pixel(generator: Generator, graph: bytes) -> None:
    inputs = feeds(generator.config.graph, 64, 96)
    fresh = run(graph, inputs | {"trust": inputs["trust"] * 0}, "onnxruntime", "fp32")
    inputs["motion"] = places(64, 96, right=3, down=-2)
    inputs["trust"][:] = 0.25
    mixed = run(graph, inputs, "onnxruntime", "fp32")
    moved = inputs["past_y"][0, 0, 8:-12, 13:-7]
    wanted = 0.75 * fresh["past_y_out"][0, 0, 10:-10, 10:-10] + 0.25 * moved
    np.testing.assert_allclose(mixed["past_y_out"][0, 0, 10:-10, 10:-10], wanted, atol=0.02)
    # Brushwork is laid on what is shown, and the past has none.
    shown = np.clip(mixed["past_y_out"] + inputs["strength"][0, 0] * inputs["texture"], 0, 255)
    np.testing.assert_allclose(shown, mixed["y_out"], atol=0.51)
    # A pixel and a half of chroma to the right lies between two of them.
    two = inputs["past_c"][0, :, 4:-6, 6:-4] + inputs["past_c"][0, :, 4:-6, 7:-3]
    wanted = 0.75 * fresh["past_c_out"][0, :, 5:-5, 5:-5] + 0.25 * two / 2
    np.testing.assert_allclose(mixed["past_c_out"][0, :, 5:-5, 5:-5], wanted, atol=0.02)


def test_fine_detail_is_the_same_at_every_pixel() -> None:
    picture = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    detail = [
        functional.pixel_shuffle(FineDetail()(functional.pixel_unshuffle(moved, 2)), 2)
        for moved in (picture, picture.roll((1, 1), (2, 3)))
    ]
    away = (detail[0].roll((1, 1), (2, 3)) - detail[1])[..., 5:-5, 5:-5]
    assert away.abs().max() < 1e-5
    assert FineDetail().kernel.sum((1, 2, 3)).abs().max() < 1e-5


def test_doubling_is_linear_interpolation() -> None:
    x = torch.rand(2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    wanted = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(Double(5)(x)[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1])


def test_enlarging_is_linear_interpolation_to_pixels_and_to_cells() -> None:
    x = torch.rand(2, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    out = Enlarge(2, 1)(x)
    for number, map_ in enumerate(x.split(1, dim=1)):
        if number < 2:
            made, factor = functional.pixel_shuffle(out[:, 4 * number : 4 * number + 4], 2), 4
        else:
            made, factor = out[:, 8:], 2
        wanted = functional.interpolate(map_, scale_factor=factor, mode="bilinear")
        inside = (..., slice(factor, -factor), slice(factor, -factor))
        torch.testing.assert_close(made[inside], wanted[inside])


@pytest.mark.parametrize("level", [60, 120, 181])
def test_no_grid_where_nothing_is(graph: bytes, level: int) -> None:
    needs_bf16()
    inputs = feeds(WIDTHS["small"].graph, 352, 352)
    for name in ("trust", "past_y", "past_c", "motion"):
        inputs[name][:] = 0
    inputs["strength"][:] = 1
    for name, value in (("y", level), ("u", 128), ("v", 128)):
        inputs[name][:] = value
    luma = run(graph, inputs, "openvino", "bf16")["past_y_out"][0, 0, 168:184, 168:184]
    cells = luma.reshape(4, 4, 4, 4).mean((0, 2)).reshape(2, 2, 2, 2)
    assert np.ptp(cells, axis=(0, 2)).max() < 0.01


def test_the_past_matters_and_style_matters(generator: Generator) -> None:
    inputs = feeds(generator.config.graph, 64, 64)
    before = torch_run(generator, inputs)
    no_past = torch_run(generator, inputs | {"trust": inputs["trust"] * 0})
    other_style = torch_run(generator, inputs | {"style": -inputs["style"]})
    assert (before["y_out"] != no_past["y_out"]).mean() > 0.05
    assert (before["y_out"] != other_style["y_out"]).mean() > 0.05


def test_graph_says_what_it_is(generator: Generator, graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert GraphSpec.from_metadata(metadata) == generator.config.graph
    # Pads are computed once for the planes and not around every convolution.
    assert sum(node.op_type == "Pad" for node in model.graph.node) == 1


def test_style_encoder_sees_color_and_not_place() -> None:
    torch.manual_seed(0)
    encoder = StyleEncoder(64)
    picture = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        code, turned, dark = encoder(torch.cat([picture, picture.flip(2, 3), picture / 2]))
    assert (code - turned).abs().max() < (code - dark).abs().max()
    assert b"picture" in export_style_encoder(encoder)
