/** The studio: puts the parts of the page together. */

import { Api } from "./api.js";
import { RecordButton, snapshot } from "./capture.js";
import { Compare } from "./compare.js";
import { askSource, copy, FROM_OBS, links, showLinks, signIn, wireCopying } from "./dialogs.js";
import { $, dialog } from "./dom.js";
import { acceptFiles, readPicture } from "./drop.js";
import { StudioError } from "./errors.js";
import { Explorer } from "./explore.js";
import { Gallery } from "./gallery.js";
import { OnAir } from "./onair.js";
import { latest } from "./retry.js";
import { ownStream, Session } from "./session.js";
import * as sources from "./sources.js";
import { DelayMeter, Figures } from "./stats.js";
import { Messages, Status } from "./status.js";
import { KINDS, takeTokensFromAddress, token } from "./tokens.js";

takeTokensFromAddress();
const ask = signIn(dialog("sign-in"));
const api = new Api(ask);
const status = new Status($("status"), "Nothing on the air");
const messages = new Messages($("messages"));
const after = /** @type {HTMLVideoElement} */ ($("after"));
const compare = new Compare($("stage"), $("split"), $("before"));
const figures = new Figures($("figures"));
const onAir = new OnAir($("on-air"), $("on-air-list"), join);
const recordButton = new RecordButton($("record"), (text) => messages.note(text));
const ownId = ownStream();

let meter = new DelayMeter();
/** @type {import("./api.js").Info} */
let info;
/** @type {Session | undefined} */
let session;

const changes = latest(async (/** @type {Partial<import("./api.js").Control>} */ change) => {
  if (session) await api.change(session.id, change);
});
const gallery = new Gallery(
  {
    cards: $("cards"),
    card: /** @type {HTMLTemplateElement} */ (document.getElementById("card")),
    second: $("second"),
    mix: $("mix"),
    strength: $("strength"),
    enabled: $("enabled"),
  },
  {
    change: (change) => attempt(() => changes.push(change)),
    remove: (style) => attempt(() => removeStyle(style)),
    thumbnail: (style) => api.thumbnail(style),
  },
);

new Explorer(api, {
  current: () => gallery.control.style,
  stream: () => session?.id,
  choose: (expression) => gallery.choose(expression),
  attempt: (action) => void attempt(action),
  keep: keepStyle,
});

/** @param {() => Promise<unknown>} action what a person asked for; a failure is told */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    messages.error(error);
  }
}

/** @param {"idle" | "starting" | "live"} state */
function show(state) {
  document.body.dataset.state = state;
  /** @type {HTMLFieldSetElement} */ ($("tools")).disabled = state !== "live";
  /** @type {HTMLFieldSetElement} */ ($("sources")).disabled = state !== "idle";
}

/** @param {string} id */
function open(id) {
  const opened = new Session(api, id, info.ice_servers, {
    report: (part, ...report) => session === opened && status.report(part, ...report),
    stream: (stream) => session === opened && update(opened, stream),
    closed: () => session === opened && ended("The stream has ended."),
  });
  session = opened;
  meter = new DelayMeter();
  after.srcObject = opened.media;
  return opened;
}

/** @param {() => Promise<import("./sources.js").Source>} choose */
async function start(choose) {
  show("starting");
  status.say("busy", "Starting");
  try {
    const source = await choose();
    const height = Number(/** @type {HTMLSelectElement} */ ($("height")).value);
    const opened = open(ownId);
    compare.show(source.media ?? null);
    const ending = () => session === opened && stop(); // unplugged, or no longer shared
    source.media?.getVideoTracks()[0].addEventListener("ended", ending);
    await opened.start(source, height, () => gallery.control);
    show("live");
    $("stop").focus();
  } catch (error) {
    leave();
    messages.error(error);
  }
}

/** @param {string} id a stream that is on the air */
function join(id) {
  compare.show(null);
  open(id).watch();
  show("live");
}

/** Back to the choice of sources. */
function leave() {
  recordButton.stop();
  session?.close();
  session = undefined;
  after.srcObject = null;
  compare.show(null);
  figures.clear();
  status.clear();
  show("idle");
  void listStreams();
}

/** @param {string} why */
function ended(why) {
  leave();
  messages.note(why);
}

/** A stream of this tab ends for all; one that was joined goes on. */
async function stop() {
  const stopped = session;
  if (stopped?.id === ownId) await attempt(() => stopped.end());
  leave();
}

/**
 * @param {Session} of
 * @param {import("./api.js").Stream} stream
 */
async function update(of, stream) {
  if (!changes.busy) gallery.control = stream;
  const reports = await of.reports();
  if (session === of) figures.show(stream, meter.read(stream, reports));
}

async function listStreams() {
  const streams = await api.streams().catch(() => []);
  onAir.show(streams);
  return streams;
}

/** @param {File} file a picture becomes a style, a video the source */
async function take(file) {
  if (file.type.startsWith("video/")) {
    if (session) throw new StudioError("Stop the stream first, then drop the video again.");
    await start(() => sources.file(file, withSound()));
    return;
  }
  const { picture, title } = await readPicture(file);
  const style = await api.addStyle(picture, title);
  gallery.styles = await api.styles();
  gallery.choose(style.name);
  messages.note(`“${style.title}” is a style now.`);
}

/** @param {string} title @param {string} expression */
async function keepStyle(title, expression) {
  const plain = title.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-");
  const name = plain.replace(/^-+|-+$/g, "").slice(0, 60);
  if (!name) throw new StudioError("Give it a name with letters or digits.");
  const style = await api.keepStyle({ name, style: expression, title });
  gallery.styles = await api.styles();
  gallery.choose(style.name);
  messages.note(`“${style.title}” is among your styles now.`);
}

/** @param {import("./api.js").Style} style */
async function removeStyle(style) {
  await api.removeStyle(style.name);
  if (gallery.control.style.includes(style.name)) gallery.choose(info.defaults.style);
  gallery.styles = await api.styles();
}

const withSound = () => /** @type {HTMLInputElement} */ ($("with-sound")).checked;

async function named() {
  const name = await askSource(dialog("named"));
  if (name) await start(async () => sources.served(name));
}

async function copyLink() {
  if (!session) return;
  if (await copy(links(session.id).viewer)) messages.note("The viewer's link is copied.");
  else showLinks(dialog("links"), session.id);
}

function toggleSound() {
  after.muted = !after.muted;
  $("sound").setAttribute("aria-pressed", String(!after.muted));
}

/** @param {string} id @param {() => unknown} action */
const on = (id, action) => $(id).addEventListener("click", () => attempt(async () => action()));

/** @param {string} id @param {(file: File) => unknown} taken an <input type=file> behind a button */
function choosing(id, taken) {
  const input = /** @type {HTMLInputElement} */ ($(id));
  input.addEventListener("change", () => {
    const [file] = input.files ?? [];
    input.value = ""; // so that the same file can be chosen again
    if (file) void attempt(async () => taken(file));
  });
}

on("camera", () => {
  const height = Number(/** @type {HTMLSelectElement} */ ($("height")).value);
  return start(() => sources.camera(height, withSound()));
});
on("screen", () => start(() => sources.screen(withSound())));
on("file", () => $("file-input").click());
on("demo", () => start(async () => sources.served("demo:")));
on("named-open", named);
on("add", () => $("picture-input").click());
on("stop", stop);
on("snapshot", async () => messages.note(`Saved ${await snapshot(after)}`));
on("record", () => session && recordButton.press(session.media));
on("sound", toggleSound);
on("full", () =>
  document.fullscreenElement ? document.exitFullscreen() : $("stage").requestFullscreen(),
);
on("copy", copyLink);
on("links-open", () => showLinks(dialog("links"), session?.id ?? FROM_OBS));
choosing("file-input", (file) => start(() => sources.file(file, withSound())));
choosing("picture-input", take);
acceptFiles($("veil"), (file) => attempt(() => take(file)));
wireCopying(dialog("links"));
for (const button of document.querySelectorAll("dialog [data-cancel]")) {
  button.addEventListener("click", () => button.closest("dialog")?.close("cancel"));
}
addEventListener("pagehide", () => session?.close());
setInterval(() => document.body.dataset.state === "idle" && listStreams(), 5000);

async function main() {
  info = await api.info();
  const missing = KINDS.filter((kind) => info.tokens[kind] && !token(kind));
  if (missing.length && (await ask(missing))) info = await api.info(); // its ICE servers too
  $("demo").hidden = !info.sources.demo;
  $("named-open").hidden = !info.sources.allowed;
  gallery.styles = await api.styles();
  gallery.control = { ...info.defaults, enabled: true };
  const streams = await listStreams();
  show("idle");
  if (location.search && streams.some(({ id }) => id === ownId)) join(ownId);
}

show("starting");
void attempt(main);
