"""OBS Studio, without a screen: OBS -> RTMP -> StreamFX -> MPEG-TS -> OBS, and the script."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest

import packs
from ports import free_port
from serving import serving

RIG = Path(__file__).parents[1] / "rigs" / "obs-rig.sh"
SCRIPT = Path(__file__).parents[2] / "obs" / "streamfx.py"
LISTS = Path(__file__).with_name("obs_lists.py")
SECONDS = 40


async def screenshot(port: int, name: str, target: Path) -> None:
    """A picture of one of OBS's sources (obs-websocket 5), once it shows anything."""
    import asyncio

    request = {"sourceName": name, "imageFormat": "png", "imageWidth": 320, "imageHeight": 180}
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://127.0.0.1:{port}", max_msg_size=1 << 24) as socket,
    ):
        await socket.receive_json(timeout=10)  # Hello
        await socket.send_json({"op": 1, "d": {"rpcVersion": 1, "eventSubscriptions": 0}})
        await socket.receive_json(timeout=10)  # Identified
        for number in range(SECONDS):
            asked = {"requestType": "GetSourceScreenshot", "requestId": str(number)}
            await socket.send_json({"op": 6, "d": {**asked, "requestData": request}})
            answer: Any = await socket.receive_json(timeout=10)
            data = (answer["d"].get("responseData") or {}).get("imageData")
            if data:
                picture = base64.b64decode(data.partition(",")[2])
                target.write_bytes(picture)
                decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
                if decoded is not None and decoded.max() > 60:
                    return
            await asyncio.sleep(1)
    raise SystemExit("OBS showed nothing")


def run_obs(
    folder: Path, socket: int, then: str, options: list[str], url: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Start OBS in the rig, stream to `url` if there is one, and run a command beside it."""
    missing = [tool for tool in ("obs", "Xvfb") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"the rig needs {', '.join(missing)}")
    command = ["bash", str(RIG), "--size", "320x180", "--fps", "10", "--ws", str(socket)]
    command += [*options, "--dir", str(folder / "obs"), "--exec", then, url, str(SECONDS)]
    path = os.pathsep.join([str(Path(__file__).parents[1] / "support"), str(folder)])
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env=os.environ | {"PYTHONPATH": path} | environment,
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_obs_is_restyled_and_shows_it(tmp_path: Path) -> None:
    pack = packs.tiny_pack(tmp_path)
    rtmp, served, socket = free_port(), free_port(), free_port()
    shot = tmp_path / "shot.png"
    relay = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "streamfx.cli",
            "relay",
            f"rtmp+listen://127.0.0.1:{rtmp}/live/key",
            "--to",
            f"http+listen://127.0.0.1:{served}",
            "--pack",
            str(pack.path),
            "--backend",
            "onnxruntime",
            "--threads",
            "1",
        ],
        stderr=(tmp_path / "relay.log").open("w"),
    )
    plain = tmp_path / "plain.png"
    look = f"{sys.executable} {__file__} {socket} {shot}"
    look += f" && {sys.executable} {__file__} {socket} {plain} Colour"
    media = f"http://127.0.0.1:{served}/live.ts,mpegts"
    options = ["--media", media, "--script", str(SCRIPT)]
    try:
        done = run_obs(tmp_path, socket, look, options, f"rtmp://127.0.0.1:{rtmp}/live/key")
    finally:
        relay.terminate()
        relay.wait(20)
    assert done.returncode == 0, done.stderr + (tmp_path / "relay.log").read_text()
    log = (tmp_path / "obs" / "obs.log").read_text(errors="replace")
    assert "Failed to call" not in log, "the script did not load"
    assert "pictures come" in (tmp_path / "relay.log").read_text()
    # The colour that OBS sends comes back as another one.
    sent, back = (cv2.imread(str(path))[60:120, 20:100].mean((0, 1)) for path in (plain, shot))
    assert np.abs(sent - back).max() > 15, (sent, back)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_obs_connect_shows_a_stream_of_a_server(tmp_path: Path) -> None:
    pytest.importorskip("simpleobsws", reason="the extra `obs` is not installed")
    pack = packs.tiny_pack(tmp_path)
    socket, shot = free_port(), tmp_path / "shot.png"
    sink = f"http+listen://127.0.0.1:{free_port()}"
    options = ["--pack", pack.path, "--backend", "onnxruntime", "--threads", "1"]
    with serving(tmp_path, "--source", "demo:", "--to", sink, *options) as server:
        connect = f"{sys.executable} -m streamfx.cli obs connect demo --media --port {socket}"
        connect += f" --server {server.url} --name Painted"
        # Once more: it is brought up to date and stays one.
        look = f"{connect} && {connect} && {sys.executable} {__file__} {socket} {shot} Painted"
        listed = tmp_path / "listed.json"
        script = {"SHIPPED": str(SCRIPT), "SERVER": server.url, "LISTED": str(listed)}
        done = run_obs(tmp_path, socket, look, ["--script", str(LISTS)], **script)
    assert done.returncode == 0, done.stderr
    assert "Painted: added to the scene 'Scene'" in done.stdout
    assert "Painted: brought up to date in the scene 'Scene'" in done.stdout
    names = [style.name for style in pack.styles]
    assert json.loads(listed.read_text()) == {"stream": ["", "demo"], "style": ["", *names]}


if __name__ == "__main__":
    import asyncio

    asyncio.run(screenshot(int(sys.argv[1]), (*sys.argv, "Media")[3], Path(sys.argv[2])))
    print(json.dumps({"screenshot": sys.argv[2]}))
