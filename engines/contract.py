"""The tensors that every StreamFX generator graph has: names, types and shapes.

A graph reads and writes 4:2:0 planes, so that a decoded frame meets no colour conversion:

========== ======================= =====================================================
name       type, shape             meaning
========== ======================= =====================================================
y          uint8 [N,1,H,W]         luma, H and W even
u, v       uint8 [N,1,H/2,W/2]     chroma
style      float32 [N,S]           style code
strength   float32 [N,1]           0 = the input, 1 = the full style
y_out ...  as y, u, v              the restyled frame
========== ======================= =====================================================

A graph that holds its pictures steady along the motion has these as well:

========== ======================= =====================================================
past_y     float32 [N,1,H,W]       the last restyled luma before rounding, 0..255
past_c     float32 [N,2,H/2,W/2]   its chroma
motion     float32 [N,H/2,W/2,2]   where in the last frame each place was: (x, y) as ONNX's
                                   GridSample counts, the frame's edges at -1 and 1
trust      float32 [N,1,H/2,W/2]   share of the past in the result, 0..1; zeros mean
                                   "no past", whatever the other three hold
past_y_out as past_y, past_c       what the next frame is given
========== ======================= =====================================================

One that lays a style's brushwork on what it draws has

========== ======================= =====================================================
texture    float32 [N,1,H,W]       levels of luma to add at full strength; zeros mean none
========== ======================= =====================================================

and one with a memory of its own has a hidden state, `state` and `state_out`, float32 [N,C,h,w]
at 1/8, where zeros mean "no past"; h and w belong to the frame inside its margin.
"""

from __future__ import annotations

from dataclasses import dataclass

STATE_STRIDE = 8
METADATA_PREFIX = "streamfx."


@dataclass(frozen=True)
class GraphSpec:
    """What a generator graph needs to know about itself; stored in its ONNX metadata.

    Attributes:
        style_size: S, the length of a style code.
        state_channels: C, the channels of the hidden state; 0 = there is none.
        margin: edge-replicated pixels that the graph adds on each side before its network.
        stride: the padded frame is a multiple of this many pixels.
        motion: whether the graph takes `past_y`, `past_c`, `motion` and `trust`.
        texture: whether it takes `texture`.
    """

    style_size: int
    state_channels: int = 0
    margin: int = 32
    stride: int = 16
    motion: bool = False
    texture: bool = False

    @property
    def recurrent(self) -> tuple[str, ...]:
        """The inputs that take what the graph gave out a frame before, as `NAME_out`."""
        state = ("state",) if self.state_channels else ()
        return (*state, "past_y", "past_c") if self.motion else state

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """(rows, columns) of a frame of `height` by `width` pixels (both even) in its margin."""
        rows, columns = (
            -(-(side + 2 * self.margin) // self.stride) * self.stride for side in (height, width)
        )
        return rows, columns

    def input_shapes(self, height: int, width: int, batch: int = 1) -> dict[str, tuple[int, ...]]:
        """Shape of every input for frames of `height` by `width` pixels.

        Raises:
            ValueError: a side is odd or smaller than 2.
        """
        if height < 2 or width < 2 or height % 2 or width % 2:
            raise ValueError(f"frame sides must be even and at least 2, not {width}x{height}")
        chroma = (batch, 1, height // 2, width // 2)
        shapes: dict[str, tuple[int, ...]] = {
            "y": (batch, 1, height, width),
            "u": chroma,
            "v": chroma,
            "style": (batch, self.style_size),
            "strength": (batch, 1),
        }
        if self.state_channels:
            h, w = (side // STATE_STRIDE for side in self.padded_size(height, width))
            shapes["state"] = (batch, self.state_channels, h, w)
        if self.motion:
            shapes["past_y"] = (batch, 1, height, width)
            shapes["past_c"] = (batch, 2, height // 2, width // 2)
            shapes["motion"] = (batch, height // 2, width // 2, 2)
            shapes["trust"] = (batch, 1, height // 2, width // 2)
        if self.texture:
            shapes["texture"] = (batch, 1, height, width)
        return shapes

    def to_metadata(self) -> dict[str, str]:
        """The spec as ONNX `metadata_props`."""
        return {
            METADATA_PREFIX + "style_size": str(self.style_size),
            METADATA_PREFIX + "state_channels": str(self.state_channels),
            METADATA_PREFIX + "margin": str(self.margin),
            METADATA_PREFIX + "stride": str(self.stride),
            METADATA_PREFIX + "motion": str(int(self.motion)),
            METADATA_PREFIX + "texture": str(int(self.texture)),
        }

    @classmethod
    def from_metadata(cls, metadata: dict[str, str]) -> GraphSpec:
        """Read what `to_metadata` wrote.

        Raises:
            ValueError: an entry is missing or not a sane number.
        """

        def number(name: str, low: int, high: int, absent: str = "") -> int:
            text = metadata.get(METADATA_PREFIX + name, absent)
            if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
                raise ValueError(f"the graph's metadata says {name}={text!r}")
            return int(text)

        return cls(
            style_size=number("style_size", 1, 4096),
            state_channels=number("state_channels", 0, 256),
            margin=number("margin", 0, 256),
            stride=number("stride", 1, 256),
            motion=bool(number("motion", 0, 1)),
            # Graphs older than brushwork do not say.
            texture=bool(number("texture", 0, 1, absent="0")),
        )
