"""The networks: generator, style encoder, and the planes graph that is exported.

The generator reads and writes 4:2:0 planes as six channels at half resolution: luma unshuffled
by two (4 channels) beside the chroma planes (2 channels). It is a small U-net without
normalisation, whose layers are modulated by a style code (FiLM, Perez et al. 2018). Full resolution
is left once and entered once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamfx.engines.contract import GraphSpec
from streamfx.training.exposure import expose, focus, strong
from streamfx.training.filters import Blur, Double, Enlarge, Filter, FineDetail

PLANE_CHANNELS = 6
MARGIN = 16
STRIDE = 16
SLOPE = 0.1
LUMA_MAPS, CHROMA_MAPS = 4, 3


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a generator; `WIDTHS` holds the two that are in use.

    Attributes:
        quarter, eighth, sixteenth: channels at 1/4, 1/8 and 1/16 resolution.
        blocks: residual convolutions at 1/16.
        style_size: S, the length of a style code.
    """

    quarter: int
    eighth: int
    sixteenth: int
    blocks: int
    style_size: int = 64

    @property
    def graph(self) -> GraphSpec:
        return GraphSpec(self.style_size, margin=MARGIN, stride=STRIDE, motion=True, texture=True)


WIDTHS = {
    "small": GeneratorConfig(quarter=16, eighth=48, sixteenth=96, blocks=3),
    "large": GeneratorConfig(quarter=32, eighth=64, sixteenth=128, blocks=6),
}


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution with "same" zero padding."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


def act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


class Film(nn.Module):
    """Style code [N,S,1,1] -> a scale and a shift for every modulated layer.

    All layers read their parameters from this one place, so that a later graph can blend them
    by region. Written as 1x1 convolutions, which every back end runs in any precision.
    """

    def __init__(self, style_size: int, layers: list[int], hidden: int = 128) -> None:
        super().__init__()
        self.layers = [2 * channels for channels in layers]
        self.hidden = conv(style_size, hidden, 1)
        self.out = conv(hidden, sum(self.layers), 1)
        nn.init.normal_(self.out.weight, std=0.1)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, style: Tensor) -> list[tuple[Tensor, Tensor]]:
        parameters = self.out(act(self.hidden(style))).split(self.layers, dim=1)
        pairs = (p.chunk(2, dim=1) for p in parameters)
        return [(scale + 1.0, shift) for scale, shift in pairs]


class Generator(nn.Module):
    """Half-resolution planes in and out; height and width are multiples of 8 there."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        c4, c8, c16 = config.quarter, config.eighth, config.sixteenth
        self.film = Film(config.style_size, [c16] * config.blocks + [c8, c4])
        self.enter4 = conv(PLANE_CHANNELS, c4)
        self.enter8 = conv(c4, c8, stride=2)
        self.enter16 = conv(c8, c16, stride=2)
        self.trunk = nn.ModuleList(conv(c16, c16) for _ in range(config.blocks))
        self.narrow8 = conv(c16, c8, 1)
        self.leave8 = conv(c8, c8)
        self.narrow4 = conv(c8, c4, 1)
        self.leave4 = conv(c4, c4)
        # For luma: what to add, and gains on the input, and on the dark and the light side of the
        # fine detail, so that lines can be inked without a halo. For chroma: a gain, what to add.
        self.exit = conv(c4, LUMA_MAPS + CHROMA_MAPS)
        self.smooth = Blur(c4, taps=(1, 2, 1))
        self.enlarge = Enlarge(LUMA_MAPS, CHROMA_MAPS)
        self.halve = Blur(c4, stride=2)
        self.blur4, self.blur8 = Blur(c4), Blur(c8)
        self.double4, self.double8 = Double(c4), Double(c8)
        self.detail = FineDetail()
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module not in (self.film.hidden, self.film.out):
                nn.init.kaiming_normal_(module.weight, SLOPE)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.exit.weight, std=0.001)

    def forward(
        self, planes: Tensor, style: Tensor, strength: Tensor, sharpen: Tensor | None = None
    ) -> Tensor:
        """Restyle one frame.

        Args:
            planes: float [N,6,h,w], 0..1.
            style: float [N,S].
            strength: float [N,1], 0..1.
            sharpen: gain on fine detail [N,1,1,1]; None = the frame is as sharp as the contents
                of a run are (see `exposure.focus`).

        Returns:
            The restyled planes, unclamped.
        """
        *trunk_film, film8, film4 = self.film(style[:, :, None, None])
        # About unit deviation: what is in the picture must not drown in what the style says.
        x4 = self.halve(act(self.enter4(planes * 4.0 - 2.0)))
        x8 = act(self.enter8(self.blur4(x4)))
        x = act(self.enter16(self.blur8(x8)))
        for layer, (scale, shift) in zip(self.trunk, trunk_film, strict=True):
            x = x + act(layer(x) * scale + shift)
        x8 = x8 + self.double8(self.narrow8(x))
        x8 = act(self.leave8(x8) * film8[0] + film8[1])
        x4 = x4 + self.double4(self.narrow4(x8))
        x4 = act(self.leave4(x4) * film4[0] + film4[1])
        maps = self.enlarge(self.exit(self.smooth(x4))).float()
        add_y, gain_y, dark, light, gain_c, add_c = maps.split([4] * LUMA_MAPS + [1, 2], dim=1)
        # The skip and the sum stay in fp32: bf16 would band smooth skies.
        amount = strength[:, :, None, None]
        luma, chroma = planes[:, :4], planes[:, 4:]
        luma = luma + amount * (gain_y * (luma - 0.5) + add_y)
        chroma = chroma + amount * (gain_c * (chroma - 0.5) + add_c)
        detail = strong(self.detail(luma).float())
        crisp = detail if sharpen is None else sharpen * detail
        drawn = dark * crisp.clamp(max=0.0) + light * crisp.clamp(min=0.0)
        luma = luma + amount * (crisp - detail + drawn)
        return torch.cat([luma, chroma], dim=1)


class PlanesGraph(nn.Module):
    """The exported graph: uint8 planes of any even size in, uint8 planes out.

    Casts, unshuffling, exposure and focus, the edge margin, padding to the stride and the crop are
    inside, and so is what holds the picture steady: each pixel is mixed with what the thing that
    it shows looked like a frame before. Brushwork comes last, so that the past has none and it is
    never moved twice. See `streamfx.engines.contract` for the tensors.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(
        self,
        y: Tensor,
        u: Tensor,
        v: Tensor,
        style: Tensor,
        strength: Tensor,
        past_y: Tensor,
        past_c: Tensor,
        motion: Tensor,
        trust: Tensor,
        texture: Tensor,
    ) -> tuple[Tensor, ...]:
        luma = F.pixel_unshuffle(y.float(), 2)
        planes = torch.cat([luma, u.float(), v.float()], dim=1) / 255.0
        # Every fourth row of cells says as much of a frame, and costs a quarter.
        seen = planes[:, :, ::4]
        gain, offset = expose(seen[:, 3:])
        sharpen = focus(gain[:, :1] * seen[:, :4])
        amount = strength[:, :, None, None]
        planes = planes * (1 + amount * (_to_planes(gain) - 1)) + amount * _to_planes(offset)
        h, w = u.shape[2], u.shape[3]
        edge, step = MARGIN // 2, STRIDE // 2
        below = edge + (step - h % step) % step
        right = edge + (step - w % step) % step
        padded = F.pad(planes, (edge, right, edge, below), mode="replicate")
        out = self.generator(padded, style, strength, sharpen)
        out = torch.clamp(out[:, :, edge : edge + h, edge : edge + w] * 255.0, 0.0, 255.0)
        luma, chroma = out[:, :4], out[:, 4:]
        luma = luma + trust * (_moved_luma(past_y, motion) - luma)
        chroma = chroma + trust * (sample(past_c, motion) - chroma)
        # Rounded at the very end: rounded within the loop, a small error would stay for good.
        luma = F.pixel_shuffle(luma, 2)
        shown = torch.clamp(luma + amount * texture, 0.0, 255.0)
        u_out, v_out = (torch.round(chroma[:, i : i + 1]).to(torch.uint8) for i in range(2))
        return torch.round(shown).to(torch.uint8), u_out, v_out, luma, chroma


def _to_planes(ycc: Tensor) -> Tensor:
    """A number for luma, Cb and Cr [N,3,1,1] -> one for each plane [N,6,1,1]."""
    return torch.cat([ycc[:, :1]] * 4 + [ycc[:, 1:]], dim=1)


def sample(picture: Tensor, places: Tensor) -> Tensor:
    """Bilinear samples of [N,C,H,W] at places [N,h,w,2], edges repeated; see the contract."""
    return F.grid_sample(picture, places, padding_mode="border", align_corners=False)


def _moved_luma(past: Tensor, motion: Tensor) -> Tensor:
    """Luma [N,1,2h,2w] moved, unshuffled by two [N,4,h,w]; `motion` is that of 2x2 pixels."""
    size = torch.stack([torch.as_tensor(past.shape[3]), torch.as_tensor(past.shape[2])])
    pixel = 2.0 / size.to(motion)
    return torch.cat(
        [
            sample(past, motion + pixel * torch.tensor([x - 0.5, y - 0.5], device=past.device))
            for y in range(2)
            for x in range(2)
        ],
        dim=1,
    )


class StyleEncoder(nn.Module):
    """A picture [N,3,256,256], RGB in 0..1 -> its style code [N,S].

    Means and deviations of features at five scales, which say what colours and marks a picture
    has and not where; a linear layer turns them into the code.
    """

    def __init__(self, style_size: int, channels: tuple[int, ...] = (24, 48, 64, 96)) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            conv(a, b, stride=2) for a, b in zip((3, *channels[:-1]), channels, strict=True)
        )
        pooled = 2 * (3 + sum(channels))
        self.hidden = nn.Linear(pooled, 128)
        self.code = nn.Linear(128, style_size)

    def forward(self, picture: Tensor) -> Tensor:
        x = F.avg_pool2d(picture, 2) * 2.0 - 1.0
        pooled = [x.mean((2, 3)), deviation(x)]
        for layer in self.layers:
            x = act(layer(x))
            pooled += [x.mean((2, 3)), deviation(x)]
        code: Tensor = self.code(act(self.hidden(torch.cat(pooled, dim=1))))
        return code


def deviation(x: Tensor) -> Tensor:
    """Standard deviation over height and width: [N,C,H,W] -> [N,C]."""
    centred = x - x.mean((2, 3), keepdim=True)
    return (centred.square().mean((2, 3)) + 1e-6).sqrt()


@dataclass
class Networks:
    """What ends up in a pack: the two networks and the catalogue's codes."""

    generator: Generator
    encoder: StyleEncoder
    codes: nn.Embedding

    def modules(self) -> tuple[nn.Module, ...]:
        return self.generator, self.encoder, self.codes

    def parameters(self) -> list[nn.Parameter]:
        return [p for module in self.modules() for p in module.parameters()]

    def code(self, styles: Tensor, read: Tensor) -> Tensor:
        """Codes [N,S] of styles by number [N]: the catalogue's, or for what it does not hold,
        what the encoder has read [N,S]."""
        count = self.codes.num_embeddings
        listed = (styles >= 0) & (styles < count)
        known: Tensor = self.codes(styles.clamp(0, count - 1))
        return torch.where(listed[:, None], known, read)


def multiply_accumulates(config: GeneratorConfig, height: int, width: int) -> int:
    """MACs of the generator's filters for one frame, margin and padding included.

    Zeros of fixed filters are not counted: groups would leave them out, which `Enlarge` has not
    because one dense filter runs faster on CPUs.
    """
    rows, columns = config.graph.padded_size(height, width)
    generator = Generator(config)
    total = 0.0

    def count(taps: float) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            nonlocal total
            total += output.numel() * taps

        return hook

    for module in generator.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count(module.weight[0].numel()))
        elif isinstance(module, Filter):
            taps = int(module.kernel.count_nonzero()) / len(module.kernel)
            module.register_forward_hook(count(taps))
    with torch.device("meta"):
        planes = torch.empty(1, PLANE_CHANNELS, rows // 2, columns // 2)
        style, strength = torch.empty(1, config.style_size), torch.empty(1, 1)
    generator.to("meta")(planes, style, strength)
    return round(total)
