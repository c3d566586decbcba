"""Session descriptions (RFC 8866) of WHIP and WHEP clients, and what goes beside them in HTTP.

Pure functions: offers are checked here before a peer is made, answers completed after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from aiortc.rtcicetransport import RTCIceCandidate
from aiortc.sdp import (
    MediaDescription,
    SessionDescription,
    candidate_from_sdp,
    parse_h264_profile_level_id,
)

from streamfx.errors import InputError, StreamFXError

Direction = Literal["publish", "watch"]
VideoCodec = Literal["h264", "vp8"]

MOST_CANDIDATES = 64
START_KBPS = 2500
# Constrained baseline, level 3.1: what browsers offer (RFC 7742 section 6.2).
PROFILE_LEVEL_ID = "42e01f"

_START = f"x-google-start-bitrate={START_KBPS}"
_ASKED = {"H264": _START, "VP8": _START, "OPUS": "stereo=1"}  # of publishers

_PUBLISHES = ("sendonly", "sendrecv")
_WATCHES = ("recvonly", "sendrecv")
_PROFILE = re.compile(r"(?<=profile-level-id=)[0-9a-fA-F]{6}")
_FMTP = re.compile(r"a=fmtp:(\d{1,3}) (.+)")  # a payload type has 7 bits
_RTPMAP = re.compile(r"a=rtpmap:(\d+) ([^/]+)/")
# What aiortc's parser raises on text that is no session description.
PARSE_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class NothingFits(StreamFXError):
    """An offer is well formed, but nothing in it is of use here (HTTP 406)."""


@dataclass(frozen=True)
class Offer:
    """An offer that can be answered.

    Attributes:
        text: the offer, made ready for aiortc.
        kinds: of its sections, each once.
        audio: whether it has sound that goes our way.
        codec: what a viewer is sent.
        profiles: payload type -> the H.264 profile-level-id that was offered.
    """

    text: str
    kinds: tuple[str, ...]
    audio: bool
    codec: VideoCodec
    profiles: dict[int, str]


@dataclass(frozen=True)
class Fragment:
    """A trickle ICE fragment (RFC 8840).

    Attributes:
        username: the ICE user name it belongs to, None if it does not say.
        candidates: each with its sdpMid.
    """

    username: str | None
    candidates: tuple[RTCIceCandidate, ...]


class IceServer(Protocol):
    """A STUN or TURN server as the configuration names it."""

    @property
    def urls(self) -> list[str]: ...
    @property
    def username(self) -> str | None: ...


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def decode(body: bytes) -> str:
    """A body as text.

    Raises:
        InputError: it is empty or not UTF-8.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"the body is not UTF-8 text (byte {error.start})") from error
    if not text.strip():
        raise InputError("the body is empty; send the SDP offer of an RTCPeerConnection")
    return text


def read_offer(body: bytes, direction: Direction) -> Offer:
    """Check an offer and make it ready for aiortc.

    End-of-candidates goes: what a client can be reached by may come later by PATCH, or be
    learned from its checks, and the session's time-out bounds the wait. Names of the local
    network (mDNS) go as well: to look for one takes a second, and who is that near can reach
    us. H.264 of any profile is taken from a publisher, for the decoder knows them all, while
    aiortc knows only baseline.

    Raises:
        InputError: it is not an offer, or lacks what WebRTC asks for.
        NothingFits: there is no picture in it, or none in a codec that is spoken here.
    """
    lines = [line for line in _lines(decode(body)) if not _is_needless(line)]
    profiles: dict[int, str] = {}
    if direction == "publish":
        lines = list(_as_baseline(lines, profiles))
    text = _text(lines)
    if not text.startswith("v=0"):
        raise InputError("the body is not a session description: it does not begin with v=0")
    try:
        session = SessionDescription.parse(text)
    except (*PARSE_ERRORS, StopIteration) as error:
        raise InputError(
            "the session description cannot be read; send the unchanged SDP offer of an "
            "RTCPeerConnection"
        ) from error
    if not session.media:
        raise NothingFits("the offer has no media; offer one video and, if you like, one audio")
    for media in session.media:
        _check(media)
    bundled = {mid for group in session.group if group.semantic == "BUNDLE" for mid in group.items}
    if not bundled <= {media.rtp.muxId for media in session.media}:
        raise InputError("the offer bundles a section that it does not have (a=group, a=mid)")
    wanted = _PUBLISHES if direction == "publish" else _WATCHES
    video = _only(session, "video", wanted)
    audio = _only(session, "audio", wanted)
    if video is None:
        verb = "sends" if direction == "publish" else "receives"
        raise NothingFits(f"the offer has no video that {verb} (a={wanted[0]} or a=sendrecv)")
    if audio is not None and not any(codec.name.lower() == "opus" for codec in audio.rtp.codecs):
        raise NothingFits(f"sound must be Opus, the offer has {_named(audio)}")
    kinds = tuple(media.kind for media in session.media)
    return Offer(text, kinds, audio is not None, _codec(video), profiles)


def _is_needless(line: str) -> bool:
    words = line.split()
    is_candidate = line.startswith("a=candidate:") and len(words) > 4
    return line == "a=end-of-candidates" or (is_candidate and words[4].lower().endswith(".local"))


def _as_baseline(lines: list[str], profiles: dict[int, str]) -> Iterator[str]:
    for line in lines:
        if (fmtp := _FMTP.match(line)) and (profile := _PROFILE.search(line)):
            profiles[int(fmtp[1])] = profile[0]
            yield _PROFILE.sub(PROFILE_LEVEL_ID, line)
        else:
            yield line


def _check(media: MediaDescription) -> None:
    """What RFC 9725 section 4.2 and WebRTC ask of each media section."""
    if media.kind not in ("audio", "video"):
        raise NothingFits(f"the offer has a section of kind {media.kind!r}; only media go here")
    if media.direction is None:
        raise InputError(f"the {media.kind} section does not say sendonly, recvonly or sendrecv")
    if media.ice is None or not media.ice.usernameFragment or not media.ice.password:
        raise InputError("the offer lacks a=ice-ufrag or a=ice-pwd")
    if media.dtls is None or not media.dtls.fingerprints:
        raise InputError("the offer lacks a=fingerprint or a=setup")
    if not media.rtcp_mux:
        raise InputError("the offer lacks a=rtcp-mux")
    if len(media.ice_candidates) > MOST_CANDIDATES:
        raise InputError(
            f"the offer has {len(media.ice_candidates)} ICE candidates in one section, "
            f"at most {MOST_CANDIDATES} are taken"
        )


def _only(
    session: SessionDescription, kind: str, directions: tuple[str, ...]
) -> MediaDescription | None:
    sections = [media for media in session.media if media.kind == kind]
    if len(sections) > 1:
        raise NothingFits(f"the offer has {len(sections)} {kind} sections, one is taken")
    return sections[0] if sections and sections[0].direction in directions else None


def _named(media: MediaDescription) -> str:
    return ", ".join(sorted({codec.name for codec in media.rtp.codecs})) or "no codec"


def _codec(video: MediaDescription) -> VideoCodec:
    """H.264 where its packets can be split (packetization mode 1) and baseline is known."""
    for codec in video.rtp.codecs:
        if codec.name.upper() == "H264" and codec.parameters.get("packetization-mode") == "1":
            profile = str(codec.parameters.get("profile-level-id", PROFILE_LEVEL_ID))
            try:
                name = parse_h264_profile_level_id(profile)[0].name
            except ValueError:
                continue
            if name in ("PROFILE_CONSTRAINED_BASELINE", "PROFILE_BASELINE"):
                return "h264"
    if any(codec.name.upper() == "VP8" for codec in video.rtp.codecs):
        return "vp8"
    raise NothingFits(
        f"video must be H.264 (packetization-mode=1) or VP8, the offer has {_named(video)}"
    )


def answer_publisher(answer: str, offer: Offer) -> str:
    """An answer for a publisher.

    The H.264 profiles are again those that were offered. Chromium begins at the bitrate that
    `x-google-start-bitrate` (kbit/s) names, and without it at some 300 kbit/s; it sends stereo
    where `stereo=1` (RFC 7587) asks for it.
    """
    lines = _lines(answer)
    parameters = {int(m[1]): m[2] for line in lines if (m := _FMTP.match(line))}
    completed = []
    for line in lines:
        if _FMTP.match(line):
            continue
        completed.append(line)
        if codec := _RTPMAP.match(line):
            number = int(codec[1])
            given = _PROFILE.sub(
                offer.profiles.get(number, PROFILE_LEVEL_ID), parameters.get(number, "")
            )
            both = ";".join(filter(None, (given, _ASKED.get(codec[2].upper()))))
            completed += [f"a=fmtp:{number} {both}"] if both else []
    return _text(completed)


def answer_viewer(answer: str, level: int) -> str:
    """An answer for a viewer: it names the H.264 level that is sent (RFC 6184 section 8.2.2)."""
    return _text(
        _PROFILE.sub(lambda profile: f"{profile[0][:4]}{level:02x}", line)
        for line in _lines(answer)
    )


def read_fragment(body: bytes) -> Fragment:
    """A trickle ICE fragment (RFC 8840, as RFC 9725 section 4.3 uses it).

    Raises:
        InputError: it is none.
    """
    username: str | None = None
    mid: str | None = None
    candidates: list[RTCIceCandidate] = []
    for line in _lines(decode(body)):
        if line.startswith("a=ice-ufrag:"):
            username = line.partition(":")[2]
        elif line.startswith("m="):
            mid = None
        elif line.startswith("a=mid:"):
            mid = line.partition(":")[2]
        elif line.startswith("a=candidate:") and not _is_needless(line):
            try:
                candidate = candidate_from_sdp(line.partition(":")[2])
            except PARSE_ERRORS as error:
                raise InputError(f"this is not an ICE candidate: {line[:80]!r}") from error
            candidate.sdpMid = mid
            candidates.append(candidate)
    if username is None and not candidates:
        raise InputError("the body has neither a=ice-ufrag nor a=candidate lines")
    if any(candidate.sdpMid is None for candidate in candidates):
        raise InputError("a candidate must follow the m= and a=mid lines of its section")
    return Fragment(username, tuple(candidates))


def username_of(description: str) -> str | None:
    """The (first) ICE user name of a description."""
    name = re.search(r"^a=ice-ufrag:(\S+)", description, re.MULTILINE)
    return name[1] if name else None


def ice_links(servers: Iterable[IceServer], credentials: Iterable[str | None]) -> list[str]:
    """Link header values, one for each URL (RFC 9725 section 4.6)."""
    links = []
    for server, credential in zip(servers, credentials, strict=True):
        for url in server.urls:
            link = f'<{url}>; rel="ice-server"'
            if server.username is not None and credential is not None:
                link += f"; username={_quoted(server.username)}"
                link += f'; credential={_quoted(credential)}; credential-type="password"'
            links.append(link)
    return links


def _quoted(text: str) -> str:
    """A quoted-string (RFC 9110 section 5.6.4); a header holds no control characters."""
    printable = "".join(character for character in text if character.isprintable())
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
