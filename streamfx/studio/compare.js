/** The picture before and after, side by side along a seam that a range input moves. */

export class Compare {
  #stage;
  #range;
  #before;

  /**
   * @param {HTMLElement} stage
   * @param {HTMLInputElement} range 0..100, over the whole picture
   * @param {HTMLVideoElement} before
   */
  constructor(stage, range, before) {
    this.#stage = stage;
    this.#range = range;
    this.#before = before;
    range.addEventListener("input", () => this.#draw());
    this.show(null);
  }

  /** @param {MediaStream | null} media the picture as it was; null = there is none to compare */
  show(media) {
    // The picture alone: sound would come twice.
    this.#before.srcObject = media && new MediaStream(media.getVideoTracks());
    this.#stage.classList.toggle("comparing", media !== null);
    this.#range.disabled = media === null;
    this.#draw();
  }

  #draw() {
    this.#stage.style.setProperty("--seam", `${this.#range.value}%`);
    this.#range.setAttribute("aria-valuetext", `${this.#range.value} % before`);
  }
}
