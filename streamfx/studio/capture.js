/** Keep what is seen: a snapshot, a recording. */

import { toBlob } from "./drop.js";
import { StudioError } from "./errors.js";

const LONGEST = 10 * 60 * 1000;
const LARGEST = 500e6;
const FORMATS = [
  { type: "video/mp4;codecs=avc1.42E01F,opus", ending: "mp4" },
  { type: "video/webm;codecs=h264,opus", ending: "webm" },
  { type: "video/webm;codecs=vp8,opus", ending: "webm" },
];

/**
 * Hand a file to the person.
 * @param {Blob} blob
 * @param {string} name
 */
function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @param {string} ending @returns {string} such as streamfx-2030-01-31-18-05-09.png */
function fileName(ending) {
  const now = new Date();
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  return `streamfx-${local.toISOString().slice(0, 19).replace(/[T:]/g, "-")}.${ending}`;
}

/**
 * Save the picture that a video shows as a PNG of its own size.
 * @param {HTMLVideoElement} video
 * @returns {Promise<string>} the file's name
 * @throws {StudioError} it shows none yet
 */
export async function snapshot(video) {
  if (!video.videoWidth) throw new StudioError("There is no picture yet. Start a source first.");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  const name = fileName("png");
  save(await toBlob(canvas, "image/png"), name);
  return name;
}

/** A recording of a stream, at most ten minutes or 500 MB, saved when it ends. */
export class Recording {
  #recorder;
  /** @type {Blob[]} */
  #pieces = [];
  #size = 0;
  #started = performance.now();
  /** @type {Promise<{name: string, full: boolean}>} resolves when it is saved */
  saved;

  /**
   * @param {MediaStream} media
   * @param {(seconds: number) => void} progress called about once a second
   */
  constructor(media, progress) {
    const format = FORMATS.find(({ type }) => MediaRecorder.isTypeSupported(type));
    if (!format) throw new StudioError("This browser cannot record video.");
    // Tracks of its own: a reconnection may change those of `media`.
    this.#recorder = new MediaRecorder(new MediaStream(media.getTracks()), {
      mimeType: format.type,
      videoBitsPerSecond: 5e6,
    });
    this.saved = new Promise((resolve) => {
      let full = false;
      this.#recorder.addEventListener("dataavailable", ({ data }) => {
        this.#pieces.push(data);
        this.#size += data.size;
        const elapsed = performance.now() - this.#started;
        progress(elapsed / 1000);
        full ||= elapsed > LONGEST || this.#size > LARGEST;
        if (full) this.stop();
      });
      this.#recorder.addEventListener("stop", () => {
        const name = fileName(format.ending);
        save(new Blob(this.#pieces, { type: format.type }), name);
        resolve({ name, full });
      });
    });
    this.#recorder.start(1000);
  }

  stop() {
    if (this.#recorder.state !== "inactive") this.#recorder.stop();
  }
}

/** A button that starts a recording and, pressed again, ends it. */
export class RecordButton {
  #button;
  #label;
  #name;
  #note;
  /** @type {Recording | undefined} */
  #recording;

  /**
   * @param {HTMLElement} button with a <span> for the time
   * @param {(text: string) => void} note
   */
  constructor(button, note) {
    this.#button = button;
    this.#label = /** @type {HTMLElement} */ (button.querySelector("span"));
    this.#name = this.#label.textContent;
    this.#note = note;
  }

  /** @param {MediaStream} media what to record */
  press(media) {
    if (this.#recording) this.stop();
    else this.#record(media);
  }

  stop() {
    this.#recording?.stop();
  }

  /** @param {MediaStream} media @throws {StudioError} the browser cannot record */
  #record(media) {
    this.#recording = new Recording(media, (seconds) => {
      const rest = String(Math.floor(seconds % 60)).padStart(2, "0");
      this.#label.textContent = `${Math.floor(seconds / 60)}:${rest}`;
    });
    this.#button.setAttribute("aria-pressed", "true");
    void this.#recording.saved.then(({ name, full }) => {
      this.#recording = undefined;
      this.#button.setAttribute("aria-pressed", "false");
      this.#label.textContent = this.#name;
      this.#note(full ? `The recording was as long as it may be: ${name}` : `Saved ${name}`);
    });
  }
}
