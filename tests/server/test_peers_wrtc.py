"""A viewer that is libwebrtc outside a browser (`@roamhq/wrtc`)."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from peers import require
from rtc import Tone, publish, serving
from streamfx.server.hub import HUB

SCRIPT = """
const { RTCPeerConnection, nonstandard } = require('@roamhq/wrtc');
const fetchIt = globalThis.fetch;
(async () => {
  const pc = new RTCPeerConnection({ iceServers: [] });
  let frames = 0, blocks = 0, size = null;
  pc.addTransceiver('video', { direction: 'recvonly' });
  pc.addTransceiver('audio', { direction: 'recvonly' });
  pc.ontrack = ({ track }) => {
    if (track.kind === 'video')
      new nonstandard.RTCVideoSink(track).onframe = ({ frame }) => {
        frames++; size = [frame.width, frame.height];
      };
    else
      new nonstandard.RTCAudioSink(track).ondata = () => { blocks++; };
  };
  await pc.setLocalDescription(await pc.createOffer());
  await new Promise(done => {
    if (pc.iceGatheringState === 'complete') return done();
    pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done();
  });
  const answer = await fetchIt(process.argv[2], { method: 'POST',
    headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
  const sdp = await answer.text();
  if (answer.status !== 201) throw new Error(answer.status + ' ' + sdp);
  await pc.setRemoteDescription({ type: 'answer', sdp });
  const end = Date.now() + 40000;
  while ((frames < 15 || blocks < 15) && Date.now() < end)
    await new Promise(done => setTimeout(done, 50));
  const codec = /rtpmap:\\d+ (VP8|H264)/.exec(sdp)[1];
  console.log(JSON.stringify({ frames, blocks, size, codec }));
  pc.close();
  process.exit(0);
})().catch(error => { console.error(error); process.exit(1); });
"""


def test_wrtc_watches(tmp_path: Path) -> None:
    node, npm = require("node"), require("npm")
    # npm waits five minutes for a registry that does not answer before it asks again.
    patience = ("--fetch-timeout=40000", "--fetch-retries=3", "--fetch-retry-mintimeout=1000")
    quiet = ("--no-audit", "--no-fund")
    installed = subprocess.run(
        [npm, "install", *quiet, *patience, "--prefix", str(tmp_path), "@roamhq/wrtc"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    if installed.returncode:
        pytest.skip(f"@roamhq/wrtc cannot be installed: {installed.stderr[-200:]}")
    script = tmp_path / "viewer.js"
    script.write_text(SCRIPT)

    async def test() -> None:
        async with serving(tmp_path) as server:
            publisher = await publish(server, audio=Tone())
            viewer = await asyncio.create_subprocess_exec(
                node,
                str(script),
                f"{server.url}/whep/live",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, errors = await asyncio.wait_for(viewer.communicate(), 60)
            assert viewer.returncode == 0, errors.decode()
            seen = json.loads(out)
            assert seen["frames"] >= 15
            assert seen["blocks"] >= 15
            assert seen["size"] == [160, 96]
            assert seen["codec"] == "VP8"  # it has no H.264
            assert server.app[HUB].get("live") is not None
            await publisher.connection.close()

    asyncio.run(test())
