"""`streamfx doctor`: what this machine has and lacks, with the fix."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def command(
    *,
    pack: Annotated[str, typer.Option(help="The style pack to try: its name or file.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what this machine has and lacks.

    The exit code is 0 when recorded video can be restyled here, else 1.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from streamfx.doctor import State, can_run, examine

    checks = examine(pack)
    ready = can_run(checks)
    if as_json:
        rows = [
            {"name": c.name, "state": c.state.value, "found": c.found, "fix": c.fix} for c in checks
        ]
        print(json.dumps({"ready": ready, "checks": rows}, indent=1))
        raise typer.Exit(0 if ready else 1)
    colors = {State.OK: "green", State.OPTIONAL: "yellow", State.BROKEN: "red"}
    table = Table("", "", "found", "fix")
    for check in checks:
        state = Text(check.state.value, colors[check.state])
        table.add_row(state, check.name, Text(check.found), Text(check.fix))
    console = Console()
    console.print(table)
    console.print(
        "Recorded video can be restyled here."
        if ready
        else "Recorded video cannot be restyled here: mend what is broken, from the top."
    )
    raise typer.Exit(0 if ready else 1)
