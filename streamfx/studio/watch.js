/** The viewer's page; with `?clean=1` it is nothing but the picture, for streaming software. */

import { Api } from "./api.js";
import { signIn } from "./dialogs.js";
import { $, dialog } from "./dom.js";
import { keep } from "./retry.js";
import { Status } from "./status.js";
import { takeTokensFromAddress } from "./tokens.js";
import { watch } from "./whep.js";

takeTokensFromAddress();
const id = location.pathname.split("/").filter(Boolean).pop() ?? "";
const clean = new URLSearchParams(location.search).get("clean") === "1";
document.documentElement.classList.toggle("clean", clean);
document.title = `${id} · StreamFX`;
$("name").textContent = id;

const video = /** @type {HTMLVideoElement} */ ($("video"));
const status = new Status($("status"), "Connecting");
const api = new Api(clean ? async () => false : signIn(dialog("sign-in")));
const media = new MediaStream();
video.srcObject = media;

/** Play with sound where the browser lets a page do so unasked, else without. */
async function play() {
  try {
    await video.play();
  } catch {
    video.muted = true;
    await video.play().catch(() => {}); // then the play button starts it
  }
  draw();
}

function draw() {
  document.body.dataset.playing = String(!video.paused);
  $("play").setAttribute("aria-label", video.paused ? "Play" : "Pause");
  $("sound").setAttribute("aria-label", video.muted ? "Turn the sound on" : "Turn the sound off");
  document.body.dataset.muted = String(video.muted);
}

for (const event of ["play", "pause", "volumechange"]) video.addEventListener(event, draw);
$("play").addEventListener("click", () => (video.paused ? play() : video.pause()));
$("sound").addEventListener("click", () => (video.muted = !video.muted));
$("full").addEventListener("click", () =>
  document.fullscreenElement ? document.exitFullscreen() : $("player").requestFullscreen(),
);

/** Its ICE servers come anew with every connection: their passwords may be short-lived. */
async function connect() {
  const { ice_servers: iceServers } = await api.info();
  const link = await watch(api, id, media, iceServers);
  void play();
  return link;
}

const ends = new AbortController();
addEventListener("pagehide", () => ends.abort());
draw();
void keep(connect, (...report) => status.report("watch", ...report), ends.signal);
