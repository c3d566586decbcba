"""The command line: `streamfx COMMAND …`.

A command is a module `streamfx.cli.NAME` with either a function `command` (one command) or
`app`, a `typer.Typer` (a command with sub-commands), and a row in `COMMANDS`. Only the module
of the command that was asked for is imported, so that `streamfx --help` is fast; modules
import heavy things inside their functions for the same reason.

Exit codes: 0 done, 1 the job failed, 2 bad input or usage, 130 stopped by the user.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

from streamfx.errors import EngineError, StreamFXError

COMMANDS = {
    "process": "Restyle videos, pictures or whole folders.",
    "serve": "Restyle live streams and watch them in the browser.",
    "relay": "Restyle a live source and send it on, to several places at once.",
    "camera": "Show a restyled source as a webcam.",
    "obs": "Show a stream in OBS Studio.",
    "styles": "List, show and draw the styles of a pack.",
    "demo": "Render a short moving scene with sound.",
    "doctor": "Say what this machine has and lacks.",
    "engines": "Build and check engines for NVIDIA GPUs.",
    "bench": "Measure the engine and the whole pipeline.",
    "train": "Train a style pack from pictures.",
    "evaluate": "Measure the looks of a style pack.",
}

STOPPED = 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit; no traceback reaches the user.

    `STREAMFX_DEBUG=1` shows the traceback of an error that nobody foresaw.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        _application(arguments)(args=arguments, prog_name="streamfx")
    except StreamFXError as error:
        _fail(str(error), error.exit_code)
    except EngineError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("stopped", STOPPED)
    except BrokenPipeError:
        # The reader of our output has gone; Python must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("STREAMFX_DEBUG"):
            raise
        _fail(
            f"an error that this program did not foresee: {type(error).__name__}: {error} "
            "(STREAMFX_DEBUG=1 shows where)",
            1,
        )


def _fail(message: str, code: int) -> None:
    print(f"streamfx: {message}", file=sys.stderr)
    sys.exit(code)


def _application(arguments: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        help="Turn a live stream, a recording or a webcam into a moving painting.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback()(_options)
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        if name != wanted:
            app.command(name, help=summary)(_listed)
            continue
        module = import_module(f"streamfx.cli.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, help=summary)
        else:
            app.command(name)(module.command)
    return app


def _listed() -> None:
    """Stands for a command in `streamfx --help`; its module is not imported."""


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"streamfx {version('streamfx')}")
        raise typer.Exit()


def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass
