"""Headless Chromium publishes and watches, with H.264 and with VP8."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from browsing import ALLOWED, FLAGS, PLAIN_ADDRESSES
from peers import require
from rtc import serving, until
from streamfx.server.hub import HUB
from streamfx.server.signalling import sessions

CAMERA = (ALLOWED, "--use-fake-device-for-media-stream=fps=30")

SCRIPT = """
window.exchange = async (pc, path, mime) => {
  for (const t of pc.getTransceivers()) {
    if (t.receiver.track.kind !== 'video') continue;
    const codecs = RTCRtpReceiver.getCapabilities('video').codecs;
    t.setCodecPreferences(codecs.filter(c => [mime, 'video/rtx'].includes(c.mimeType)));
  }
  await pc.setLocalDescription();
  if (pc.iceGatheringState !== 'complete')
    await new Promise(done => pc.addEventListener('icegatheringstatechange',
      () => pc.iceGatheringState === 'complete' && done()));
  const answer = await fetch(path, {method: 'POST', body: pc.localDescription.sdp,
    headers: {'Content-Type': 'application/sdp'}});
  if (answer.status !== 201) throw new Error(answer.status + ' ' + await answer.text());
  await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
  return answer.headers.get('Location');
};
window.publish = async mime => {
  const media = await navigator.mediaDevices.getUserMedia(
    {video: {width: 320, height: 180, frameRate: 30}, audio: true});
  window.sender = new RTCPeerConnection();
  for (const track of media.getTracks())
    sender.addTransceiver(track, {direction: 'sendonly'});
  return exchange(sender, '/whip/live', mime);
};
window.watch = async mime => {
  window.viewer = new RTCPeerConnection();
  viewer.addTransceiver('video', {direction: 'recvonly'});
  viewer.addTransceiver('audio', {direction: 'recvonly'});
  const shown = document.createElement('video');
  shown.autoplay = true;
  viewer.ontrack = event => { shown.srcObject = event.streams[0]; };
  document.documentElement.append(shown);
  return exchange(viewer, '/whep/live', mime);
};
window.stats = async (pc, type, kind) => {
  const report = await pc.getStats();
  for (const s of report.values())
    if (s.type === type && (kind ? s.kind === kind : s.availableOutgoingBitrate))
      return {...s, codec: s.codecId && report.get(s.codecId).mimeType};
  return {};
};
"""


@pytest.mark.parametrize(
    ("sends", "sees", "flags"),
    [
        ("video/VP8", "video/H264", [*FLAGS, *CAMERA, PLAIN_ADDRESSES]),
        (
            "video/H264",
            "video/VP8",
            [*FLAGS, *CAMERA],
        ),  # its addresses are hidden behind mDNS names
    ],
    ids=["VP8-H264", "H264-VP8"],
)
def test_chromium_publishes_and_watches(
    tmp_path: Path, sends: str, sees: str, flags: list[str]
) -> None:
    chromium = require("chromium")
    playwright = pytest.importorskip("playwright.async_api")

    async def test() -> None:
        async with serving(tmp_path) as server, playwright.async_playwright() as browsers:
            browser = await browsers.chromium.launch(executable_path=chromium, args=flags)
            context = await browser.new_context(permissions=["camera", "microphone"])
            page = await context.new_page()
            await page.goto(f"{server.url}/healthz")
            await page.evaluate(f"() => {{{SCRIPT}}}")
            location = await page.evaluate("mime => publish(mime)", sends)
            stream = server.app[HUB].get("live")
            assert stream is not None
            await until(lambda: stream.stats().frames_in > 20, "frames from Chromium")

            async def stats(pc: str, kind: str, media: str) -> dict[str, Any]:
                found = await page.evaluate(f"([t, k]) => stats({pc}, t, k)", [kind, media])
                assert isinstance(found, dict)
                return found

            sent = await stats("sender", "outbound-rtp", "video")
            assert sent["codec"] == sends
            # Without our x-google-start-bitrate it begins at 300 kbit/s.
            pair = await stats("sender", "candidate-pair", "")
            assert pair["availableOutgoingBitrate"] > 1_000_000

            await page.evaluate("mime => watch(mime)", sees)

            async def seen(media: str) -> dict[str, Any]:
                return await stats("viewer", "inbound-rtp", media)

            for _ in range(300):
                video, audio = await seen("video"), await seen("audio")
                if video.get("framesDecoded", 0) > 20 and audio.get("totalAudioEnergy", 0) > 0:
                    break
                await asyncio.sleep(0.1)
            assert video["framesDecoded"] > 20, (video, audio)
            assert video["codec"] == sees
            assert audio["totalAudioEnergy"] > 0
            assert audio["codec"] == "audio/opus"
            width, height = stream.stats().size_out or (0, 0)
            assert (video["frameWidth"], video["frameHeight"]) == (width, height)
            # By our sender reports it knows, in one clock, what moment each track is playing.
            moments: dict[str, float] = {}
            for _ in range(100):
                found = await page.evaluate(
                    """async () => [...(await viewer.getStats()).values()]
                    .filter(s => s.type === 'inbound-rtp' && s.estimatedPlayoutTimestamp)
                    .map(s => [s.kind, s.estimatedPlayoutTimestamp])"""
                )
                moments = dict(found)
                if len(moments) == 2:
                    break
                await asyncio.sleep(0.1)
            assert abs(moments["video"] - moments["audio"]) < 500  # ms, on a machine that is busy

            deleted = await page.evaluate(
                "async path => (await fetch(path, {method: 'DELETE'})).status", location
            )
            assert deleted == 200
            await page.evaluate("() => viewer.close()")
            await until(lambda: not sessions(server.app), "the end of the viewer")
            await browser.close()

    asyncio.run(test())
