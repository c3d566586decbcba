/** Files that come in by dropping and pasting, and pictures made ready to be styles. */

import { StudioError } from "./errors.js";

const LONGEST_SIDE = 1024; // a style encoder looks at less than that
const QUALITY = 0.92;

/**
 * @param {HTMLElement} veil shown while a file hovers over the page
 * @param {(file: File) => void} take
 */
export function acceptFiles(veil, take) {
  let depth = 0; // dragenter and dragleave come for every element that is crossed
  /** @param {number} change */
  const hover = (change) => {
    depth = Math.max(0, depth + change);
    veil.hidden = depth === 0;
  };
  /** @param {DataTransfer | null} data */
  const carries = (data) => data?.types.includes("Files") ?? false;
  addEventListener("dragenter", (event) => carries(event.dataTransfer) && hover(1));
  addEventListener("dragleave", (event) => carries(event.dataTransfer) && hover(-1));
  addEventListener("dragover", (event) => carries(event.dataTransfer) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!carries(event.dataTransfer)) return;
    event.preventDefault();
    hover(-depth);
    const file = event.dataTransfer?.files[0];
    if (file) take(file);
  });
  addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
}

/**
 * A picture as a JPEG that any server takes, upright and at most 1024 pixels a side.
 * @param {File} file
 * @returns {Promise<{picture: Blob, title: string}>}
 * @throws {StudioError} it is not a picture that this browser reads
 */
export async function readPicture(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new StudioError(`${file.name} is not a picture that this browser reads. Try a JPEG.`);
  }
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const title = file.name.replace(/\.[^.]*$/, "").slice(0, 60) || "picture";
  return { picture: await toBlob(canvas, "image/jpeg"), title };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {"image/jpeg" | "image/png"} type
 * @returns {Promise<Blob>}
 */
export function toBlob(canvas, type) {
  return new Promise((resolve, reject) => {
    const done = (/** @type {Blob | null} */ blob) =>
      blob ? resolve(blob) : reject(new StudioError("The browser could not write the picture."));
    canvas.toBlob(done, type, QUALITY);
  });
}
