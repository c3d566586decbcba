"""The sheet that a pack is judged by to the eye: every style on a frame of every clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamfx.sheets import contact_sheet

from .clips import RGB, Clip
from .stylists import Stylist

__all__ = ["clip_sheet", "contact_sheet"]


def clip_sheet(
    stylists: Mapping[str, Stylist],
    paintings: Mapping[str, RGB],
    clips: Sequence[Clip],
    width: int = 320,
) -> RGB:
    """A column for each stylist, its painting on top, and a row for each clip.

    The frame shown is the last of a clip's first run, so that the state has had a past.

    Args:
        stylists: by style name.
        paintings: the style's painting, by the same names.
        clips: one row each.
        width: of a picture on the sheet, in pixels.

    Returns:
        uint8 RGB [H, W, 3].
    """
    first = clips[0].runs[0][-1]
    rows = [[first * 0 + 250, *(paintings[name] for name in stylists)]]
    for clip in clips:
        run = clip.runs[0]
        rows.append([run[-1], *(stylist(run)[-1] for stylist in stylists.values())])
    return contact_sheet(
        rows, ["", *(clip.name for clip in clips)], ["input", *stylists], width=width
    )
