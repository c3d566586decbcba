/** Where a picture comes from: camera, screen, a file played here, or something the server plays. */

import { deviceError, StudioError } from "./errors.js";

/**
 * @typedef {object} Source
 * @property {MediaStream} [media] published from here
 * @property {string} [name] played by the server: "demo:", a path or an address
 * @property {() => void} stop frees the camera, the screen or the file
 */

/**
 * @param {MediaStream} media
 * @returns {Source}
 */
function captured(media) {
  return { media, stop: () => media.getTracks().forEach((track) => track.stop()) };
}

/** @throws {StudioError} the page is not one to which browsers give a camera */
function devices() {
  if (navigator.mediaDevices) return navigator.mediaDevices;
  throw new StudioError(
    "Browsers give the camera and the screen only to pages by https or from localhost. " +
      "Start the server with TLS, or open the studio on the machine it runs on.",
  );
}

/**
 * @param {number} height
 * @param {boolean} sound the microphone too
 * @returns {Promise<Source>}
 */
export async function camera(height, sound) {
  const video = {
    width: { ideal: (height * 16) / 9 },
    height: { ideal: height },
    frameRate: { ideal: 30 },
  };
  const having = devices();
  try {
    return captured(await having.getUserMedia({ video, audio: sound }));
  } catch (error) {
    throw deviceError(error, sound ? "camera or microphone" : "camera");
  }
}

/**
 * @param {boolean} sound what the screen plays, where the browser can tell
 * @returns {Promise<Source>}
 */
export async function screen(sound) {
  const having = devices();
  try {
    return captured(await having.getDisplayMedia({ video: { frameRate: 30 }, audio: sound }));
  } catch (error) {
    throw deviceError(error, "screen");
  }
}

/**
 * A file played in a hidden <video>, over and over.
 * @param {File} file
 * @param {boolean} sound
 * @returns {Promise<Source>}
 */
export async function file(file, sound) {
  const video = document.createElement("video");
  if (!("captureStream" in video)) {
    throw new StudioError("This browser cannot send a file as video. Chromium and Edge can.");
  }
  Object.assign(video, { src: URL.createObjectURL(file), loop: true, muted: true });
  const stop = () => {
    video.pause();
    URL.revokeObjectURL(video.src);
  };
  try {
    await video.play();
  } catch {
    stop();
    throw new StudioError(`The browser cannot play ${file.name}. Try an MP4 or WebM file.`);
  }
  const media = /** @type {{captureStream(): MediaStream}} */ (
    /** @type {unknown} */ (video)
  ).captureStream();
  if (!media.getVideoTracks().length) {
    stop();
    throw new StudioError(`${file.name} has no picture. Choose a video.`);
  }
  if (!sound) media.getAudioTracks().forEach((track) => media.removeTrack(track));
  return { media, stop };
}

/**
 * @param {string} name "demo:", or a file or an address that the server may open
 * @returns {Source}
 */
export const served = (name) => ({ name, stop: () => {} });
