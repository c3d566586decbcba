/** The list of streams that are on the air, each a button that watches it. */

export class OnAir {
  #root;
  #list;
  #join;
  #shown = "";

  /**
   * @param {HTMLElement} root hidden while there are none
   * @param {HTMLElement} list
   * @param {(id: string) => void} join
   */
  constructor(root, list, join) {
    this.#root = root;
    this.#list = list;
    this.#join = join;
  }

  /** @param {import("./api.js").Stream[]} streams */
  show(streams) {
    const shown = streams.map(({ id }) => id).join();
    if (shown === this.#shown) return; // a button may have the focus
    this.#shown = shown;
    this.#list.replaceChildren(...streams.map((stream) => this.#button(stream)));
    this.#root.hidden = streams.length === 0;
  }

  /** @param {import("./api.js").Stream} stream */
  #button({ id, source }) {
    const button = document.createElement("button");
    button.textContent = id;
    button.title = `Watch ${id} (${source})`;
    button.addEventListener("click", () => this.#join(id));
    return button;
  }
}
