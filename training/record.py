"""Putting what was measured of a pack into its manifest."""

from __future__ import annotations

from collections.abc import Mapping

from streamfx.styles import Pack, write_pack

EVALUATION = "evaluation"


def record_figures(pack: Pack, figures: Mapping[str, object]) -> Pack:
    """Rewrite a pack with `figures` as `figures.evaluation` of its manifest.

    All else stays as it is, the other figures too. The file is replaced at once when the new
    one is whole and has been read back.

    Args:
        figures: plain values, as of `Dossier.summary`.

    Returns:
        The rewritten pack.

    Raises:
        InputError: the pack has changed since it was opened, or cannot be written.
    """
    manifest = pack.manifest.model_dump(mode="json", exclude={"format", "members"})
    manifest["figures"] = {**manifest["figures"], EVALUATION: dict(figures)}
    members = {name: pack.read(name) for name in pack.manifest.members}
    return write_pack(pack.path, manifest, members)
