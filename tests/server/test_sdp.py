"""Offers that can be read and those that cannot, answers, fragments and Link headers."""

from __future__ import annotations

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from sdps import OFFER_OBS, OFFER_VIEWER, replaced
from streamfx.errors import InputError
from streamfx.server.config import IceServer
from streamfx.server.sdp import (
    MOST_CANDIDATES,
    NothingFits,
    answer_publisher,
    answer_viewer,
    ice_links,
    read_fragment,
    read_offer,
    username_of,
)

CANDIDATE = "a=candidate:1 1 udp 2130706431 192.0.2.9 40000 typ host"


def test_a_publisher() -> None:
    offer = read_offer(OFFER_OBS.encode(), "publish")
    assert (offer.kinds, offer.audio, offer.codec) == (("audio", "video"), True, "h264")


def test_a_viewer() -> None:
    offer = read_offer(OFFER_VIEWER.encode(), "watch")
    assert (offer.kinds, offer.audio, offer.codec) == (("video", "audio"), True, "h264")


def test_the_end_of_candidates_is_left_out_for_more_may_come() -> None:
    assert "a=end-of-candidates" in OFFER_OBS
    assert "end-of-candidates" not in read_offer(OFFER_OBS.encode(), "publish").text


def test_names_of_the_local_network_are_left_out() -> None:
    name = CANDIDATE.replace("192.0.2.9", "0d7b6a4e-1111-2222-3333-444455556666.local")
    offer = OFFER_OBS.replace("a=mid:1", f"a=mid:1\r\n{name}\r\n{CANDIDATE}")
    text = read_offer(offer.encode(), "publish").text
    assert ".local" not in text
    assert CANDIDATE in text
    fragment = read_fragment(f"a=ice-ufrag:x\r\na=mid:1\r\n{name}\r\n{CANDIDATE}".encode())
    assert [candidate.ip for candidate in fragment.candidates] == ["192.0.2.9"]


def test_lines_may_end_in_any_way() -> None:
    text = read_offer(OFFER_OBS.replace("\r\n", "\n").encode(), "publish").text
    assert text == read_offer(OFFER_OBS.encode(), "publish").text


@pytest.mark.parametrize("profile", ["640c1f", "4d001f", "42001f", "f4001f"])
def test_a_publisher_may_send_any_h264_profile(profile: str) -> None:
    offer = read_offer(OFFER_OBS.replace("42e01f", profile).encode(), "publish")
    assert "42e01f" in offer.text
    assert profile not in offer.text
    answer = answer_publisher(offer.text, offer)
    assert f"profile-level-id={profile}" in answer


@pytest.mark.parametrize(
    ("before", "after", "codec"),
    [
        ("42e01f", "42e028", "h264"),
        ("42e01f", "42001f", "h264"),
        ("42e01f", "64001f", "vp8"),  # what is sent is baseline, and they must be the same
        ("42e01f", "nonsense", "vp8"),
        ("packetization-mode=1", "packetization-mode=0", "vp8"),
        ("H264", "H265", "vp8"),
    ],
)
def test_a_viewer_gets_h264_or_else_vp8(before: str, after: str, codec: str) -> None:
    assert read_offer(OFFER_VIEWER.replace(before, after).encode(), "watch").codec == codec


@pytest.mark.parametrize(
    ("offer", "says"),
    [
        ("", "empty"),
        ("   \r\n", "empty"),
        ("hello", "begin with v=0"),
        ("v=0", "no media"),
        (replaced(OFFER_OBS, "a=ice-ufrag", None), "ice-ufrag"),
        (replaced(OFFER_OBS, "a=ice-pwd", None), "ice-pwd"),
        (replaced(OFFER_OBS, "a=fingerprint", None), "fingerprint"),
        (replaced(OFFER_OBS, "a=setup", None), "setup"),
        (replaced(OFFER_OBS, "a=setup", "a=setup:sideways"), "cannot be read"),
        (replaced(OFFER_OBS, "a=rtcp-mux", None), "rtcp-mux"),
        (replaced(OFFER_OBS, "a=mid:0", None), "bundles a section"),
        (replaced(OFFER_OBS, "a=sendonly", None), "sendonly, recvonly"),
        (replaced(OFFER_OBS, "m=video", "m=video x UDP/TLS/RTP/SAVPF 96"), "cannot be read"),
        (replaced(OFFER_OBS, "a=rtpmap:96", "a=rtpmap:96 H264/often"), "cannot be read"),
        (OFFER_OBS.replace("a=fmtp:96", f"a=fmtp:{'9' * 5000}"), "cannot be read"),
        (OFFER_OBS.replace("m=video", "m=application"), "application"),
        (OFFER_OBS.replace("a=sendonly", "a=recvonly"), "no video that sends"),
        (OFFER_OBS.replace("m=audio", "m=video"), "2 video sections"),
        (OFFER_OBS.replace("opus", "AC3"), "sound must be Opus, the offer has AC3"),
        (OFFER_OBS.replace("H264", "AV1"), "H.264 (packetization-mode=1) or VP8"),
        (
            OFFER_OBS.replace("a=mid:1", f"a=mid:1\r\n{CANDIDATE}" * (MOST_CANDIDATES + 1)),
            "at most 64",
        ),
    ],
)
def test_offers_that_cannot_be_used(offer: str, says: str) -> None:
    with pytest.raises((InputError, NothingFits)) as caught:
        read_offer(offer.encode(), "publish")
    assert says in str(caught.value)


def test_an_offer_in_another_encoding() -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        read_offer(b"v=0\xff", "publish")


@given(st.data())
def test_a_damaged_offer_is_read_or_refused(data: st.DataObject) -> None:
    lines = OFFER_VIEWER.split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        cut = data.draw(st.integers(0, len(lines[at])))
        lines[at] = lines[at][:cut] + data.draw(st.text(max_size=8))
    try:
        read_offer("\r\n".join(lines).encode(), "watch")
    except (InputError, NothingFits) as error:
        assert "\n" not in str(error)


def test_the_answer_to_a_publisher_names_a_start_bitrate_for_each_video_codec() -> None:
    offer = read_offer(OFFER_VIEWER.replace("recvonly", "sendonly").encode(), "publish")
    parsed = SessionDescription.parse(answer_publisher(offer.text, offer))
    for media in parsed.media:
        for codec in media.rtp.codecs:
            rate = codec.parameters.get("x-google-start-bitrate")
            assert rate == ("2500" if codec.name in ("H264", "VP8") else None), codec
            assert (codec.parameters.get("stereo") == 1) == (codec.name == "opus")
    apt = [c.parameters["apt"] for m in parsed.media for c in m.rtp.codecs if c.name == "rtx"]
    assert apt == [96, 98]


def test_the_answer_to_a_viewer_names_the_level() -> None:
    answer = answer_viewer(OFFER_VIEWER, 40)
    assert "profile-level-id=42e028" in answer
    assert answer.count("profile-level-id") == OFFER_VIEWER.count("profile-level-id")


def test_a_fragment() -> None:
    body = (
        f"a=ice-ufrag:EsAw\r\na=ice-pwd:P2uY\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n{CANDIDATE}\r\n"
    )
    fragment = read_fragment(body.encode())
    (candidate,) = fragment.candidates
    assert fragment.username == "EsAw"
    assert (candidate.ip, candidate.port, candidate.sdpMid) == ("192.0.2.9", 40000, "0")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "empty"),
        ("a=nothing", "neither"),
        (CANDIDATE, "a=mid"),
        (f"m=audio 9 RTP/AVP 0\r\na=mid:0\r\nm=video 9 RTP/AVP 0\r\n{CANDIDATE}", "a=mid"),
        ("a=mid:0\r\na=candidate:1 1 udp x 192.0.2.9 4 typ host", "not an ICE candidate"),
        ("a=mid:0\r\na=candidate:1", "not an ICE candidate"),
    ],
)
def test_fragments_that_cannot_be_used(body: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_fragment(body.encode())


def test_the_ice_user_name() -> None:
    assert username_of(OFFER_OBS) == "OBSu"
    assert username_of("v=0") is None


def test_link_headers() -> None:
    servers = [
        IceServer(urls=["stun:a.example:3478"]),
        IceServer(
            urls=["turn:b.example?transport=udp", "turn:b.example?transport=tcp"],
            username='u"1',
            credential="p\\\r\nX-Evil: 1",  # type: ignore[arg-type]
        ),
    ]
    credentials = [s.credential.get_secret_value() if s.credential else None for s in servers]
    quoted = r'username="u\"1"; credential="p\\X-Evil: 1"; credential-type="password"'
    assert ice_links(servers, credentials) == [
        '<stun:a.example:3478>; rel="ice-server"',
        f'<turn:b.example?transport=udp>; rel="ice-server"; {quoted}',
        f'<turn:b.example?transport=tcp>; rel="ice-server"; {quoted}',
    ]
