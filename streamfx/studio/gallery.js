/** The styles: cards that are radio buttons, a second style and its share, the strength. */

import { format, parse } from "./expression.js";

/**
 * @typedef {import("./api.js").Api} Api
 * @typedef {import("./api.js").Control} Control
 * @typedef {import("./api.js").Style} Style
 * @typedef {object} Parts
 * @property {HTMLElement} cards
 * @property {HTMLTemplateElement} card
 * @property {HTMLSelectElement} second
 * @property {HTMLInputElement} mix 0..100
 * @property {HTMLInputElement} strength 0..100
 * @property {HTMLInputElement} enabled
 */

export class Gallery {
  #parts;
  #hooks;
  #expression = ""; // in force; more than two styles may be mixed in it

  /**
   * @param {Parts} parts
   * @param {object} hooks
   * @param {(change: Partial<Control>) => void} hooks.change
   * @param {(style: Style) => void} hooks.remove
   * @param {(style: Style) => Promise<string>} hooks.thumbnail its address
   */
  constructor(parts, hooks) {
    this.#parts = parts;
    this.#hooks = hooks;
    const style = () => this.#changed({ style: this.control.style });
    parts.cards.addEventListener("change", style);
    parts.second.addEventListener("change", style);
    parts.mix.addEventListener("input", style);
    parts.strength.addEventListener("input", () =>
      this.#changed({ strength: this.control.strength }),
    );
    parts.enabled.addEventListener("change", () =>
      this.#changed({ enabled: this.control.enabled }),
    );
  }

  /** @returns {Control} what is chosen */
  get control() {
    const { second, mix, strength, enabled } = this.#parts;
    const blend = { first: this.#chosen, second: second.value, mix: Number(mix.value) / 100 };
    return {
      style: blend.first ? format(blend) : this.#expression,
      strength: Number(strength.value) / 100,
      enabled: enabled.checked,
    };
  }

  /** @param {Control} control what is in force, shown without telling anybody */
  set control({ style, strength, enabled }) {
    const blend = parse(style);
    this.#expression = style;
    for (const radio of this.#radios) radio.checked = radio.value === blend?.first;
    this.#parts.second.value = blend?.second ?? "";
    if (blend?.second) this.#parts.mix.value = String(Math.round(blend.mix * 100));
    this.#parts.strength.value = String(Math.round(strength * 100));
    this.#parts.enabled.checked = enabled;
    this.#draw();
  }

  /** @param {Style[]} styles */
  set styles(styles) {
    const { control } = this;
    this.#parts.cards.replaceChildren(...styles.map((style) => this.#card(style)));
    const options = styles.map((style) => new Option(style.title, style.name));
    this.#parts.second.replaceChildren(new Option("no other style", ""), ...options);
    this.control = control;
  }

  /** @param {string} name choose a style or another expression alone, as a click does */
  choose(name) {
    this.#expression = name;
    for (const radio of this.#radios) radio.checked = radio.value === name;
    this.#parts.second.value = "";
    this.#changed({ style: name });
    this.#radios.find((radio) => radio.checked)?.scrollIntoView({ block: "nearest" });
  }

  get #radios() {
    return [...this.#parts.cards.querySelectorAll("input")];
  }

  get #chosen() {
    return this.#radios.find((radio) => radio.checked)?.value ?? "";
  }

  /** @param {Partial<Control>} change */
  #changed(change) {
    this.#draw();
    this.#hooks.change(change);
  }

  /** What follows from the values: the sliders' readings, and whether there is a mix. */
  #draw() {
    const { second, mix, strength } = this.#parts;
    mix.disabled = !second.value;
    for (const range of [mix, strength]) {
      range.style.setProperty("--filled", `${range.value}%`);
      const output = /** @type {HTMLOutputElement} */ (
        range.parentElement?.querySelector("output")
      );
      output.value = range.disabled ? "–" : `${range.value} %`;
    }
  }

  /** @param {Style} style */
  #card(style) {
    const card = /** @type {HTMLElement} */ (
      /** @type {HTMLElement} */ (this.#parts.card.content.firstElementChild).cloneNode(true)
    );
    /** @template {HTMLElement} T @param {string} part @returns {T} */
    const find = (part) => /** @type {T} */ (card.querySelector(part));
    /** @type {HTMLInputElement} */ (find("input")).value = style.name;
    find(".card-title").textContent = style.title;
    const own = { picture: "your picture", saved: "kept by you", catalogue: "" }[style.kind];
    const by = own || [style.author, style.year].filter(Boolean).join(", ");
    find(".card-by").textContent = by;
    const image = /** @type {HTMLImageElement} */ (find("img"));
    this.#hooks.thumbnail(style).then(
      (address) => (image.src = address),
      () => image.remove(), // the card's plain ground stays
    );
    const remove = /** @type {HTMLButtonElement} */ (find("button"));
    remove.hidden = style.kind === "catalogue";
    remove.setAttribute("aria-label", `Remove the style ${style.title}`);
    remove.addEventListener("click", () => this.#hooks.remove(style));
    return card;
  }
}
