"""`streamfx obs`: OBS Studio from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamfx.obs import ObsSource

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _obs() -> None:
    """Show streams in OBS Studio."""


@app.command()
def connect(
    stream: Annotated[
        str | None, typer.Argument(help="A stream of the server; else the only one.")
    ] = None,
    *,
    server: Annotated[
        str, typer.Option(metavar="URL", help="Of `streamfx serve`.")
    ] = "http://127.0.0.1:8080",
    token: Annotated[
        str | None,
        typer.Option(envvar="STREAMFX_SERVER__TOKENS__WATCH", help="The server's watch token."),
    ] = None,
    media: Annotated[
        bool,
        typer.Option(
            "--media", help="A media source of the stream's http+listen sink, not a browser source."
        ),
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(help="A media source of this MPEG-TS, such as of `relay`; asks no server."),
    ] = None,
    scene: Annotated[str | None, typer.Option(help="Of OBS; else the one on the air.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the source in OBS.")] = None,
    host: Annotated[str, typer.Option(help="Of OBS's WebSocket server.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Of the same.")] = 4455,
    password: Annotated[
        str,
        typer.Option(
            envvar="OBS_WEBSOCKET_PASSWORD",
            help="Of the same; better from the environment.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Add a stream to OBS's current scene, or bring its source up to date.

    In OBS, enable Tools > WebSocket Server Settings first.
    """
    import asyncio

    from streamfx.obs import ObsAddress, place

    address = ObsAddress(host, port, password)

    async def work() -> str:
        source = await _source(stream, server, token, media=media, url=url, name=name)
        placed = await place(address, source, scene)
        done = "added to" if placed.added else "brought up to date in"
        return f"{source.name}: {done} the scene {placed.scene!r}"

    print(asyncio.run(work()))


async def _source(
    stream: str | None,
    server: str,
    token: str | None,
    *,
    media: bool,
    url: str | None,
    name: str | None,
) -> ObsSource:
    from streamfx.errors import InputError
    from streamfx.obs import browser_source, find_stream, media_source

    if url is not None:
        if stream is not None or media:
            raise InputError("--url stands alone: it asks no server for a stream")
        return media_source(name or "StreamFX", url)
    found = await find_stream(server, token, stream)
    shown = name or f"StreamFX {found.name}"
    if not media:
        return browser_source(shown, found.page)
    if found.media is None:
        raise InputError(
            f"the stream {found.name!r} has no sink that OBS could open: add one like "
            "http+listen://127.0.0.1:8554, or leave --media out"
        )
    return media_source(shown, found.media)
