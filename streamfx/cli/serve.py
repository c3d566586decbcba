"""`streamfx serve`: live streams, restyled and watched in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streamfx.server.config import ServerConfig
    from streamfx.server.run import Server

_STOPS_WITHIN = 4.5  # seconds

Token = typer.Option(help="A bearer token; better from the environment.", metavar="TOKEN")


def command(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes a free one.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Restyle this from the start: demo:, webcam, a file, a URL, as `relay` takes it.",
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SINK",
            help="Send it there as well, as `relay --to` does; again for more.",
        ),
    ] = None,
    loop: Annotated[bool | None, typer.Option("--loop", help="Repeat the source.")] = None,
    style: Annotated[str | None, typer.Option(help="A name or a blend (a:0.6+b:0.4).")] = None,
    strength: Annotated[float | None, typer.Option(help="0 = the input, 1 = the style.")] = None,
    pack: Annotated[str | None, typer.Option(help="A style pack: its name or file.")] = None,
    backend: Annotated[
        str | None, typer.Option(help="auto, or a name that `engines probe` lists.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Of the engine.")] = None,
    allow_folder: Annotated[
        list[Path] | None, typer.Option(help="Files in it may be named over HTTP.")
    ] = None,
    allow_protocol: Annotated[
        list[str] | None, typer.Option(help="rtsp, rtmp, https …: URLs that may be named.")
    ] = None,
    allow_private: Annotated[
        bool | None,
        typer.Option("--allow-private", help="URLs that may be named may lead to this network."),
    ] = None,
    token_publish: Annotated[str | None, Token] = None,
    token_watch: Annotated[str | None, Token] = None,
    token_control: Annotated[str | None, Token] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="A PEM certificate chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its PEM key.")] = None,
    self_signed: Annotated[
        bool | None, typer.Option("--self-signed", help="HTTPS with a certificate made now.")
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option("--insecure", help="Let others in without tokens."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file; else streamfx.toml, if it is here.")
    ] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the configuration and leave.")
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the studio in the browser.")
    ] = False,
) -> None:
    """Restyle live streams and watch them in the browser."""
    from streamfx.server.config import load_config

    given = {
        "host": host,
        "port": port,
        "source": source,
        "to": to,
        "loop": loop,
        "pack": pack,
        "insecure": insecure,
        "live": {"style": style, "strength": strength, "backend": backend, "threads": threads},
        "tokens": {"publish": token_publish, "watch": token_watch, "control": token_control},
        "tls": {"cert": tls_cert, "key": tls_key, "self_signed": self_signed},
        "sources": {
            "folders": allow_folder,
            "protocols": allow_protocol,
            "private_addresses": allow_private,
        },
    }
    settled = load_config(config, _only_given(given))
    if show_config:
        print(settled.model_dump_json(indent=2))
        return
    _serve(settled, open_browser)


def _only_given(flags: dict[str, Any]) -> dict[str, Any]:
    """Without the flags that were not used, so that the file and the environment count."""
    nested = {
        key: _only_given(value) if isinstance(value, dict) else value
        for key, value in flags.items()
    }
    return {key: value for key, value in nested.items() if value not in (None, {}, [])}


def _serve(config: ServerConfig, open_browser: bool) -> None:
    import asyncio

    from streamfx.server import logs
    from streamfx.server.run import Server

    logs.configure(config.log.level, config.log.format)
    asyncio.run(_run(Server(config), config, open_browser))


async def _run(server: Server, config: ServerConfig, open_browser: bool) -> None:
    """Serve until a signal, then end within 5 s."""
    import asyncio
    import logging
    import os
    import signal
    import webbrowser

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await server.start()
    _say_where(server, config)
    if open_browser:
        joined = f"?stream={config.source_stream}" if config.source_stream else ""
        await asyncio.to_thread(webbrowser.open, f"{server.url}/{joined}")
    await stop.wait()
    print("stopping", flush=True)
    try:
        async with asyncio.timeout(_STOPS_WITHIN):
            await server.stop()
    except TimeoutError:
        # Such as a source that waits for the network, whose thread the program would wait for.
        logging.getLogger(__name__).warning("something did not end in time and is left")
        os._exit(0)


def _say_where(server: Server, config: ServerConfig) -> None:
    """The addresses, on the output stream, which says that the server is ready."""
    lines = [
        f"studio  {server.url}/",
        f"WHIP    {server.url}/whip/STREAM",
        f"WHEP    {server.url}/whep/STREAM",
    ]
    if server.fingerprint is not None:
        lines.append(f"the certificate was made now; its SHA-256 is {server.fingerprint}")
    if not (config.is_loopback or config.tls.enabled):
        lines.append(
            "tokens travel in plain text, and browsers give pages from here no camera: "
            "use --self-signed or --tls-cert"
        )
    lines.append("ready; Ctrl-C stops")
    print("\n".join(lines), flush=True)
