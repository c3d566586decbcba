"""FFmpeg's WHIP muxer publishes, through PyAV."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import av
import pytest
from cryptography.hazmat.primitives import serialization

from rtc import serving, until, watch
from streamfx.server.hub import HUB
from streamfx.server.tls import self_signed

TOKEN = "publish-it"


def _certificate(folder: Path) -> tuple[str, str]:
    """An ECDSA P-256 certificate of its own, or FFmpeg's DTLS does not agree with aiortc's."""
    certificate, key = self_signed(["localhost"])
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


PUBLISHER = """
import select
import sys
import time
from fractions import Fraction

import av
import numpy as np

url, profile, cert, key, token = sys.argv[1:]
options = {"cert_file": cert, "key_file": key, "authorization": token}
with av.open(url, "w", format="whip", options=options) as output:
    video = output.add_stream("libx264", rate=15)
    video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
    video.profile = profile
    video.options = {"tune": "zerolatency", "preset": "ultrafast", "bf": "0", "g": "15"}
    audio = output.add_stream("libopus", rate=48_000)
    audio.layout = "stereo"
    began = time.monotonic()
    for n in range(1000):
        planes = np.full((144, 160), (n * 5) % 200 + 20, np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = n, Fraction(1, 15)
        output.mux(video.encode(frame))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 6400), np.int16), "s16", "stereo")
        sound.sample_rate, sound.pts, sound.time_base = 48_000, n * 3200, Fraction(1, 48_000)
        output.mux(audio.encode(sound))
        time.sleep(max(0, began + n / 15 - time.monotonic()))
        if select.select([sys.stdin], [], [], 0)[0]:
            break
"""


@pytest.mark.parametrize("profile", ["Baseline", "High"])
def test_ffmpeg_publishes(tmp_path: Path, profile: str) -> None:
    if "whip" not in av.formats_available:
        pytest.skip("this FFmpeg has no WHIP muxer")

    async def test() -> None:
        async with serving(tmp_path, tokens={"publish": TOKEN}) as server:
            cert, key = _certificate(tmp_path)
            # A process of its own, for PyAV connects without letting other threads run.
            publisher = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                PUBLISHER,
                f"{server.url}/whip/live",
                profile,
                cert,
                key,
                TOKEN,
                stdin=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            assert publisher.stdin is not None
            try:
                hub = server.app[HUB]
                await until(lambda: publisher.returncode is not None or hub.get("live"), "a start")
                stream = hub.get("live")
                assert stream is not None, (await publisher.communicate())[1].decode()
                await until(lambda: stream.stats().frames_in > 10, "frames")
                viewer = await watch(server)
                await until(lambda: len(viewer.pictures) > 5, "pictures")
                await until(lambda: len(viewer.sounds) > 5, "sound")
                await viewer.connection.close()
                publisher.stdin.write(b"stop")
                await until(lambda: stream.stats().state == "paused", "its leaving")
                await asyncio.wait_for(publisher.communicate(), 20)
                assert publisher.returncode == 0
            finally:
                if publisher.returncode is None:
                    publisher.kill()
                    await publisher.wait()

    asyncio.run(test())
