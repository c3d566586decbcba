"""What sources and sinks are called: one grammar for commands, configuration and API.

    SOURCE = demo:                         the program's own scene
           | webcam | device:[N|NAME|PATH] a camera
           | screen | screen:[N]           a screen
           | rtmp[s]://…  rtsp[s]://…  srt://…  udp://…  tcp://…  http[s]://…   a pull
           | rtmp+listen://[HOST][:PORT]/APP/KEY   publishers come to us, with this key
           | whep+http[s]://…              WHEP (draft-ietf-wish-whep)
           | PATH
    SINK   = camera:[PATH|NAME]            a virtual camera
           | rtmp[s]://…                   a push, the stream key last
           | udp://…  tcp://…  http[s]://…  srt://…   MPEG-TS, pushed
           | tcp+listen://…  http+listen://…  MPEG-TS, fetched by others
           | whip+http[s]://…              WHIP (RFC 9725)
           | PATH.mp4 .mkv .ts .flv        a recording
           | PATH.m3u8                     HLS

Options follow in the fragment, which is never sent anywhere: `camera:#size=1280x720&mirror`. A
plain path is taken as it is, whatever it holds; `file:PATH#…` is the same with options. A part
of a URL's path, or an option, that is `$NAME` or `${NAME}` is read from the environment, so
that a stream key stands in no list of processes. Nothing here opens anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import PurePath
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from streamfx.errors import InputError

Role = Literal["source", "sink"]

LONGEST = 2000  # characters
RTMP_PORT = 1935

# How a URL's scheme is served: what FFmpeg or a client here opens.
_URLS: Mapping[Role, Mapping[str, str]] = {
    "source": {
        **dict.fromkeys(("rtmp", "rtmps"), "rtmp"),
        **dict.fromkeys(("rtsp", "rtsps"), "rtsp"),
        **dict.fromkeys(("http", "https"), "http"),
        **{name: name for name in ("srt", "udp", "tcp")},
        "rtmp+listen": "rtmp-listen",
        **{f"whep+{name}": "whep" for name in ("http", "https")},
    },
    "sink": {
        **dict.fromkeys(("rtmp", "rtmps"), "rtmp"),
        **dict.fromkeys(("http", "https"), "http"),
        **{name: name for name in ("srt", "udp", "tcp")},
        **{f"{name}+listen": f"{name}-listen" for name in ("tcp", "http")},
        **{f"whip+{name}": "whip" for name in ("http", "https")},
    },
}
_NAMES: Mapping[Role, tuple[str, ...]] = {
    "source": ("demo", "device", "screen", "file"),
    "sink": ("camera", "file"),
}
_WORDS = {"webcam": "device:", "screen": "screen:"}
_NEED_PORT = frozenset({"udp", "tcp", "tcp-listen", "http-listen", "srt"})
RECORDINGS = (".mp4", ".mkv", ".ts", ".flv")
PLAYLIST = ".m3u8"

_FLAGS = ("mirror", "loop")
_OPTIONS: Mapping[Role, frozenset[str]] = {
    "source": frozenset({"size", "fps", "loop", "token"}),
    "sink": frozenset({"size", "fps", "mirror", "bitrate", "segment", "token"}),
}
# Two characters at least, or a Windows drive would be one.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)
_BITRATE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([kKmM]?)", re.ASCII)
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)


@dataclass(frozen=True)
class Endpoint:
    """A source or a sink.

    Attributes:
        kind: demo, device, screen, file, hls, camera, rtmp, rtmp-listen, rtsp, srt, udp, tcp,
            tcp-listen, http, http-listen, whip or whep.
        target: what is opened: a URL without our prefixes and options, a path, or a device's
            number or name ("" for the first). It may hold a secret: never log it.
        shown: the same for people: no key, password, query or folder.
        options: by name, a flag's value is "".
    """

    kind: str
    target: str = field(repr=False)
    shown: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return self.shown

    @property
    def scheme(self) -> str:
        """What its name begins with: `rtmps`, `whip+https`, `camera`; `file` for every path."""
        if self.kind in ("whip", "whep"):
            return f"{self.kind}+{self.url.scheme}"
        if self.kind.endswith("-listen"):
            return f"{self.url.scheme}+listen"
        if self.kind in ("rtmp", "rtsp", "http"):
            return self.url.scheme
        return "file" if self.kind == "hls" else self.kind

    @property
    def url(self) -> SplitResult:
        """The target's parts, of an endpoint that is a URL."""
        return urlsplit(self.target)

    @property
    def size(self) -> tuple[int, int] | None:
        """The option `size`, (width, height), both even; checked when it was read."""
        match = _SIZE.fullmatch(self.options.get("size", ""))
        return (int(match[1]), int(match[2])) if match else None

    @property
    def fps(self) -> float | None:
        """The option `fps`."""
        return float(self.options["fps"]) if "fps" in self.options else None

    @property
    def bitrate(self) -> int | None:
        """The option `bitrate`, bits a second."""
        match = _BITRATE.fullmatch(self.options.get("bitrate", ""))
        scale = {"": 1, "k": 1000, "m": 1_000_000}
        return round(float(match[1]) * scale[match[2].lower()]) if match else None


def parse_source(text: str, environ: Mapping[str, str] | None = None) -> Endpoint:
    """Read the name of a source.

    Args:
        environ: where `$NAME` is looked up; None refuses variables, for names that come from
            others.

    Raises:
        InputError: it is none.
    """
    return _parse(text, "source", environ)


def parse_sink(text: str, environ: Mapping[str, str] | None = None) -> Endpoint:
    """Read the name of a sink; arguments and errors as `parse_source`."""
    return _parse(text, "sink", environ)


def _parse(text: str, role: Role, environ: Mapping[str, str] | None) -> Endpoint:
    if not text or len(text) > LONGEST or not text.isprintable():
        raise InputError(
            f"a {role} is a path, a URL or a name like {_examples(role)}, at most {LONGEST} "
            "printable characters"
        )
    if role == "source":
        text = _WORDS.get(text, text)
    match = _SCHEME.match(text)
    if match is None:
        return _file(text, {}, role)
    scheme = match[1].lower()
    body, _, fragment = text[match.end() :].partition("#")
    if scheme in _NAMES[role]:
        return _named(scheme, body, _options(fragment, role, environ), role)
    if scheme in _URLS[role]:
        return _url(scheme, body, _options(fragment, role, environ), role, environ)
    other: Role = "sink" if role == "source" else "source"
    if scheme in _NAMES[other] or scheme in _URLS[other]:
        raise InputError(f"{scheme}: is a {other}, not a {role}; {role}s are {_examples(role)}")
    raise InputError(
        f"{scheme[:30]}: is no kind of {role}; there are {_examples(role)}, and file: for a path "
        "with a colon"
    )


def _examples(role: Role) -> str:
    names = [f"{name}:" for name in _NAMES[role]] + [f"{name}://" for name in _URLS[role]]
    return ", ".join(names)


def _options(fragment: str, role: Role, environ: Mapping[str, str] | None) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, fragment.split("&")):
        name, given, value = part.partition("=")
        if name not in _OPTIONS[role]:
            known = ", ".join(sorted(_OPTIONS[role]))
            raise InputError(f"a {role} has no option {name[:30]!r}; there are {known}")
        if name in options:
            raise InputError(f"the option {name} is given twice")
        if (name in _FLAGS) == bool(given):
            raise InputError(f"the option {name} takes {'no' if name in _FLAGS else 'a'} value")
        options[name] = _expanded(unquote(value), environ)
        _check_option(name, options[name])
    return options


def _check_option(name: str, value: str) -> None:
    match = _SIZE.fullmatch(value)
    sides = [int(side) for side in match.groups()] if match else []
    if name == "size" and (len(sides) != 2 or any(s % 2 or not 32 <= s <= 4096 for s in sides)):
        raise InputError("the option size is like 1280x720, with even sides from 32 to 4096")
    bounds = {"fps": (1, 120), "segment": (1, 86_400)}
    if name in bounds and not _is_number(value, *bounds[name]):
        least, most = bounds[name]
        raise InputError(f"the option {name} is a number from {least} to {most}")
    rate = _BITRATE.fullmatch(value)
    if name == "bitrate":
        bits = Endpoint("", "", "", {"bitrate": value}).bitrate if rate else None
        if bits is None or not 50_000 <= bits <= 50_000_000:
            raise InputError("the option bitrate is like 2500k or 4.5M, from 50k to 50M")
    if name == "token" and not value:
        raise InputError("the option token is empty")


def _is_number(text: str, least: float, most: float) -> bool:
    return bool(re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text, re.ASCII)) and (
        least <= float(text) <= most
    )


def _expanded(part: str, environ: Mapping[str, str] | None) -> str:
    """`part`, or the variable that it names as a whole."""
    match = _VARIABLE.fullmatch(part)
    if match is None:
        return part
    name = match[1] or match[2]
    if environ is None:
        raise InputError(f"the variable {part} is not read here")
    if not environ.get(name):
        raise InputError(f"the environment has no variable {name}: set it, or write the value")
    return environ[name]


def _named(scheme: str, body: str, options: dict[str, str], role: Role) -> Endpoint:
    if scheme == "file":
        path = body.removeprefix("//") if body.startswith("///") else body
        return _file(path, options, role)
    if scheme == "demo" and body:
        raise InputError("demo: stands alone")
    if scheme == "screen" and body and not body.isdecimal():
        raise InputError("a screen has a number: screen:0 is the first")
    return Endpoint(scheme, body, f"{scheme}:{PurePath(body).name if body else ''}", options)


def _file(path: str, options: dict[str, str], role: Role) -> Endpoint:
    name = PurePath(path).name
    if not name:
        raise InputError(f"{path[:100]!r} names no file")
    suffix = PurePath(path).suffix.lower()
    if role == "sink" and suffix not in (*RECORDINGS, PLAYLIST):
        raise InputError(
            f"cannot record {name!r}: a recording's name ends in {', '.join(RECORDINGS)}, and an "
            f"HLS playlist's in {PLAYLIST}"
        )
    return Endpoint("hls" if role == "sink" and suffix == PLAYLIST else "file", path, name, options)


def _url(
    scheme: str, body: str, options: dict[str, str], role: Role, environ: Mapping[str, str] | None
) -> Endpoint:
    kind = _URLS[role][scheme]
    plain = scheme.partition("+")[2] if kind in ("whip", "whep") else scheme.partition("+")[0]
    try:
        parts = urlsplit(f"{plain}:{body}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"the address of this {scheme}: URL cannot be read") from error
    if not body.startswith("//") or not (host or kind.endswith("-listen")):
        raise InputError(f"a URL of this kind is like {scheme}://HOST{_form(kind)}")
    if kind in _NEED_PORT and not port:
        raise InputError(f"{scheme}: needs a port: {scheme}://{host or ''}:PORT")
    words = [_expanded(word, environ) for word in parts.path.split("/")]
    names_key = kind == "rtmp-listen" or (kind == "rtmp" and role == "sink")
    if names_key and len([word for word in words if word]) < 2:
        raise InputError(f"an RTMP address ends in /APP/KEY: {scheme}://HOST/APP/KEY")
    target = parts._replace(path="/".join(words)).geturl()
    return Endpoint(kind, target, _shown(scheme, parts, kind, role), options)


def _form(kind: str) -> str:
    return {"rtmp": "/APP/KEY", "rtmp-listen": "/APP/KEY"}.get(kind, "/…")


def _shown(scheme: str, parts: SplitResult, kind: str, role: Role) -> str:
    path = parts.path
    if kind in ("rtmp", "rtmp-listen"):
        path = path.rstrip("/").rpartition("/")[0] + "/…"
    elif kind in ("whip", "whep") or (kind == "http" and role == "sink"):
        path = "/…" if path.strip("/") else path  # whoever knows it may send there
    return f"{scheme}://{parts.netloc.rpartition('@')[2]}{path}"


def stream_key(endpoint: Endpoint) -> tuple[str, str]:
    """An RTMP address's application and key: the first part of the path, and the rest.

    A query belongs to the key, as streaming services have it.
    """
    parts = endpoint.url
    app, _, key = parts.path.lstrip("/").rpartition("/")
    return app, key + (f"?{parts.query}" if parts.query else "")


def listening_address(endpoint: Endpoint, default_port: int = RTMP_PORT) -> tuple[str, int]:
    """Where a listener listens: (host, port); this machine alone where no host is named.

    Raises:
        InputError: the host is not an address of a machine.
    """
    parts = endpoint.url
    host = parts.hostname or "127.0.0.1"
    if host == "localhost":
        host = "127.0.0.1"
    try:
        ip_address(host)
    except ValueError as error:
        raise InputError(
            f"a listener needs an IP address, such as 0.0.0.0 for all, not {host[:60]!r}"
        ) from error
    return host, default_port if parts.port is None else parts.port
