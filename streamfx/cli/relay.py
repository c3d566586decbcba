"""`streamfx relay`: any live source, restyled, to any sinks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamfx.endpoints import Endpoint
    from streamfx.live import LiveSettings

_LINE_EVERY = 1.0  # seconds, on a terminal
_LOG_EVERY = 10.0  # elsewhere
_KEYS = "n next style, p previous, o off/on, + - strength, q quit"


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="webcam, device:N, screen:, demo:, a file, or rtmp:// rtmp+listen:// rtsp:// "
            "udp:// http(s):// whep+https:// …"
        ),
    ],
    *,
    to: Annotated[
        list[str],
        typer.Option(
            metavar="SINK",
            help="rtmp(s)://HOST/APP/$KEY, whip+https://…, udp://, http+listen://, camera:, "
            "FILE.mp4, FILE.m3u8 …; again for more.",
        ),
    ],
    style: Annotated[str, typer.Option(help="A name or a blend (a:0.6+b:0.4).")] = "great-wave",
    strength: Annotated[float, typer.Option(help="0 = the input, 1 = the full style.")] = 1.0,
    size: Annotated[str | None, typer.Option(help="Such as 1280x720; else the source's.")] = None,
    fps: Annotated[float, typer.Option(help="At most.")] = 30.0,
    audio_delay: Annotated[
        int,
        typer.Option(
            min=-2000,
            max=2000,
            metavar="MS",
            help="The sound comes so much later; below 0 the picture does.",
        ),
    ] = 0,
    loop: Annotated[bool, typer.Option("--loop", help="Repeat a file.")] = False,
    pack: Annotated[str | None, typer.Option(help="A style pack: its name or file.")] = None,
    backend: Annotated[str, typer.Option(help="auto, openvino or onnxruntime.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Of the engine.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No status line.")] = False,
) -> None:
    """Restyle a live source and send it on, to several places at once.

    A stream key is best given as $NAME in quotes: it is read from the environment and never
    shown. Keys while it runs: n next style, p previous, o off and on, + and - strength, q quit.
    """
    import os

    from streamfx.endpoints import parse_sink, parse_source

    sinks = [parse_sink(text, os.environ) for text in to]
    run(
        parse_source(source, os.environ),
        sinks,
        settings(
            sinks,
            size=size,
            fps=fps,
            style=style,
            strength=strength,
            backend=backend,
            threads=threads,
            audio_delay=audio_delay,
        ),
        pack=pack,
        loop=loop,
        quiet=quiet,
    )


def settings(
    sinks: Sequence[Endpoint],
    *,
    size: str | None,
    fps: float,
    style: str,
    strength: float,
    backend: str,
    threads: int | None,
    audio_delay: int = 0,
) -> LiveSettings:
    """The stream's settings for these sinks.

    Raises:
        InputError: one cannot be used.
    """
    from pydantic import ValidationError

    from streamfx.errors import InputError
    from streamfx.live import LiveSettings
    from streamfx.media.sizes import Shape, WantedSize

    given: dict[str, object] = {}
    if size is not None:
        wanted = WantedSize.parse(size)
        shape = wanted.of(Shape(16, 9)) if wanted.height is None else wanted
        given["size"] = (shape.width, shape.height)
    rates = [sink.bitrate for sink in sinks if sink.bitrate is not None]
    if rates:
        given |= {"start_bitrate": max(rates), "max_bitrate": max(6_000_000, *rates)}
        given["min_bitrate"] = min(200_000, *rates)
    try:
        return LiveSettings.model_validate(
            {
                **given,
                "fps": fps,
                "style": style,
                "strength": strength,
                "backend": backend,
                "threads": threads,
                "audio_delay_ms": audio_delay,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: {said}" if where else said) from error


def run(
    source: Endpoint,
    sinks: Sequence[Endpoint],
    live: LiveSettings,
    *,
    pack: str | None,
    loop: bool,
    quiet: bool,
) -> None:
    """Relay until the source ends, a signal comes or q is pressed.

    Raises:
        StreamFXError: the source or a sink cannot be used, or the source failed.
    """
    import sys
    import time

    from streamfx.cli.keys import key_presses
    from streamfx.cli.report import stop_on_signals
    from streamfx.live import StyleShelf
    from streamfx.relay import Relay

    is_terminal = sys.stderr.isatty()
    width = [0]

    def say(text: str) -> None:
        print(f"{text:<{width[0]}}", file=sys.stderr, flush=True)

    shelf = StyleShelf(pack, backend=live.backend)
    with (
        stop_on_signals() as stop,
        Relay(source, sinks, shelf, live, loop=loop, say=say) as relay,
        key_presses() as read,
    ):
        relay.start()
        if is_terminal and sys.stdin.isatty():
            say(f"keys: {_KEYS}")
        said = time.monotonic()
        while not (stop.is_set() or relay.over.is_set()):
            key = read(0.25)
            if key == "q":
                break
            relay.press(key)
            now = time.monotonic()
            if not quiet and (key or now - said >= (_LINE_EVERY if is_terminal else _LOG_EVERY)):
                said = now
                line = relay.line()
                width[0] = len(line) if is_terminal else 0
                print(line, end="\r" if is_terminal else "\n", file=sys.stderr, flush=True)
        failed = relay.error
    width[0] = 0
    if not quiet:
        say("")
        say("; ".join(f"{each.shown}: {each.pictures} frames" for each in relay.sinks))
    if failed is not None:
        raise failed
