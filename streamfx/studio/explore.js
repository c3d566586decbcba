/** Finding a style: nine variations of the running picture, some liked, then nine more. */

import { $ } from "./dom.js";

const LARGEST_SEED = 100000;

/**
 * @typedef {import("./api.js").Api} Api
 * @typedef {object} Hooks
 * @property {() => string} current the expression that is in force
 * @property {() => string | undefined} stream whose picture is shown
 * @property {(expression: string) => void} choose
 * @property {(action: () => Promise<unknown>) => void} attempt runs it and tells a failure
 * @property {(title: string, expression: string) => Promise<void>} keep
 */

export class Explorer {
  #api;
  #hooks;
  #search = { like: /** @type {string | undefined} */ (undefined), generation: 0, seed: 0 };
  /** @type {string[]} */
  #kept = [];
  /** @type {string[]} addresses of the pictures shown */
  #pictures = [];

  /** @param {Api} api @param {Hooks} hooks */
  constructor(api, hooks) {
    this.#api = api;
    this.#hooks = hooks;
    $("explore").addEventListener("click", () => this.#toggle());
    $("explorer-new").addEventListener("click", () => this.#begin(undefined));
    $("explorer-more").addEventListener("click", () => this.#more());
    $("explorer-save").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = /** @type {HTMLInputElement} */ ($("explorer-name"));
      hooks.attempt(async () => {
        await hooks.keep(field.value.trim(), hooks.current());
        field.value = "";
      });
    });
  }

  #toggle() {
    const open = $("explorer").hidden;
    $("explorer").hidden = !open;
    $("explore").setAttribute("aria-expanded", String(open));
    if (open) this.#begin(this.#hooks.current());
  }

  /** @param {string | undefined} like */
  #begin(like) {
    this.#kept = [];
    this.#search = { like, generation: 0, seed: Math.floor(Math.random() * LARGEST_SEED) };
    this.#hooks.attempt(() => this.#show());
  }

  #more() {
    const liked = [...$("candidates").querySelectorAll("input:checked")].map(
      (box) => /** @type {HTMLInputElement} */ (box).value,
    );
    if (liked.length) this.#kept = liked;
    this.#search = { ...this.#search, generation: this.#search.generation + 1 };
    this.#hooks.attempt(() => this.#show());
  }

  async #show() {
    const grid = $("candidates");
    grid.setAttribute("aria-busy", "true");
    try {
      const found = await this.#api.explore({ ...this.#search, kept: this.#kept });
      const old = this.#pictures;
      this.#pictures = [];
      grid.replaceChildren(...found.map((expression, index) => this.#cell(expression, index)));
      for (const address of old) URL.revokeObjectURL(address);
      const stream = this.#hooks.stream();
      for (const [index, image] of [...grid.querySelectorAll("img")].entries()) {
        if (!image.isConnected) break; // the next nine are being shown already
        image.src = await this.#api.preview(found[index], stream);
        this.#pictures.push(image.src);
      }
    } finally {
      grid.removeAttribute("aria-busy");
    }
  }

  /** @param {string} expression @param {number} index */
  #cell(expression, index) {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("candidate"));
    const cell = /** @type {HTMLElement} */ (
      /** @type {HTMLElement} */ (template.content.firstElementChild).cloneNode(true)
    );
    const button = /** @type {HTMLButtonElement} */ (cell.querySelector(".try"));
    button.title = expression;
    button.setAttribute("aria-label", `Try style ${index + 1}`);
    button.addEventListener("click", () => {
      for (const other of $("candidates").querySelectorAll(".try")) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      this.#hooks.choose(expression);
    });
    const box = /** @type {HTMLInputElement} */ (cell.querySelector("input"));
    box.value = expression;
    box.setAttribute("aria-label", `I like style ${index + 1}`);
    return cell;
  }
}
