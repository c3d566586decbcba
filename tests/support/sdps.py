"""Session descriptions as clients post them, made up after what OBS and browsers send."""

from __future__ import annotations

_TRANSPORT = """c=IN IP4 0.0.0.0
a=mid:{mid}
a={direction}
a=rtcp-mux
a=ice-ufrag:{name}
a=ice-pwd:0123456789abcdefghijkl
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
"""
_FINGERPRINT = ":".join(["AB"] * 32)


def _section(mid: str, direction: str, name: str) -> str:
    return _TRANSPORT.format(mid=mid, direction=direction, name=name, fingerprint=_FINGERPRINT)


_HEAD = """v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
"""

OFFER_OBS = (
    _HEAD
    + "m=audio 9 UDP/TLS/RTP/SAVPF 111\n"
    + _section("0", "sendonly", "OBSu")
    + "a=rtpmap:111 opus/48000/2\na=fmtp:111 minptime=10;useinbandfec=1\n"
    + "m=video 9 UDP/TLS/RTP/SAVPF 96\n"
    + _section("1", "sendonly", "OBSu")
    + "a=rtpmap:96 H264/90000\na=rtcp-fb:96 nack\na=rtcp-fb:96 nack pli\n"
    + "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1\n"
    + "a=end-of-candidates\n"
).replace("\n", "\r\n")
"""No candidates, but the end of them; H.264 alone."""

OFFER_VIEWER = (
    _HEAD
    + "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99\n"
    + _section("0", "recvonly", "view")
    + "a=rtpmap:96 VP8/90000\na=rtcp-fb:96 goog-remb\na=rtcp-fb:96 nack\na=rtcp-fb:96 nack pli\n"
    + "a=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n"
    + "a=rtpmap:98 H264/90000\na=rtcp-fb:98 nack\na=rtcp-fb:98 nack pli\n"
    + "a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\n"
    + "a=rtpmap:99 rtx/90000\na=fmtp:99 apt=98\n"
    + "m=audio 9 UDP/TLS/RTP/SAVPF 111\n"
    + _section("1", "recvonly", "view")
    + "a=rtpmap:111 opus/48000/2\n"
).replace("\n", "\r\n")


def replaced(offer: str, prefix: str, line: str | None) -> str:
    """An offer in which the lines that begin so are another one, or are left out."""
    lines = offer.split("\r\n")
    changed = [line if old.startswith(prefix) else old for old in lines]
    return "\r\n".join(new for new in changed if new is not None)
