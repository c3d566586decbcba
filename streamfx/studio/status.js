/** What the page says: one line of state, and messages that come and go. */

import { ServerError, words } from "./errors.js";

const SHORTLY = 6000;
const MOST = 3;

/** The state of the connections in one line; the first that is not well speaks. */
export class Status {
  #line;
  #idle;
  /** @type {Map<string, {tone: string, text: string}>} */
  #parts = new Map();

  /**
   * @param {HTMLElement} line an aria-live region
   * @param {string} idle its text when there is no connection
   */
  constructor(line, idle) {
    this.#line = line;
    this.#idle = idle;
    this.clear();
  }

  clear() {
    this.#parts.clear();
    this.say("idle", this.#idle);
  }

  /**
   * @param {string} tone "idle", "busy", "live" or "bad", for the colour
   * @param {string} text
   */
  say(tone, text) {
    this.#line.dataset.tone = tone;
    if (this.#line.textContent !== text) this.#line.textContent = text; // once to a screen reader
  }

  /**
   * @param {string} part of the connection
   * @param {Parameters<import("./retry.js").Report>} report what `keep` says of it
   */
  report(part, ...[state, error, seconds]) {
    if (state === "connected") this.#parts.set(part, { tone: "live", text: "Live" });
    // While it tries again the reason stays: it would only flicker.
    if (state === "connecting" && !this.#parts.has(part)) {
      this.#parts.set(part, { tone: "busy", text: "Connecting" });
    }
    if (state === "waiting" && error instanceof ServerError && error.status === 404) {
      this.#parts.set(part, { tone: "busy", text: "Waiting for the stream" });
    } else if (state === "waiting") {
      const why = error ? words(error) : "The connection broke.";
      const text = `${why} Trying again${(seconds ?? 0) >= 2 ? ` in ${seconds} s` : ""}.`;
      this.#parts.set(part, { tone: "bad", text });
    }
    const parts = [...this.#parts.values()];
    const shown =
      parts.find(({ tone }) => tone === "bad") ?? parts.find(({ tone }) => tone === "busy");
    const { tone, text } = shown ?? parts[0];
    this.say(tone, text);
  }
}

/** Messages in a corner; an error stays until it is closed. */
export class Messages {
  #root;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
  }

  /** @param {string} text */
  note(text) {
    const message = this.#add(text, "status");
    setTimeout(() => message.remove(), SHORTLY);
  }

  /** @param {unknown} error */
  error(error) {
    this.#add(words(error), "alert");
  }

  /** @param {string} text @param {"status" | "alert"} role */
  #add(text, role) {
    const message = document.createElement("div");
    message.className = "message";
    message.setAttribute("role", role);
    const close = document.createElement("button");
    close.setAttribute("aria-label", "Close this message");
    close.className = "close";
    close.textContent = "×";
    close.addEventListener("click", () => message.remove());
    message.append(text, close);
    for (const old of [...this.#root.children]) {
      if (old.textContent === message.textContent) old.remove();
    }
    this.#root.append(message);
    while (this.#root.children.length > MOST) this.#root.firstElementChild?.remove();
    return message;
  }
}
