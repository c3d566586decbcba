/** Dialogs: signing in, a source by its name, links and what to type into OBS. */

import { keepToken, token } from "./tokens.js";

/** @typedef {import("./tokens.js").Kind} Kind */

/** The stream that OBS is told to send: a name of its own, whatever this page sends. */
export const FROM_OBS = "obs";

/**
 * Open a dialog with a form.
 * @param {HTMLDialogElement} dialog
 * @returns {Promise<FormData | undefined>} what was entered; none where it was cancelled
 */
function fillIn(dialog) {
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
  form.reset();
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const done = () => resolve(dialog.returnValue === "ok" ? new FormData(form) : undefined);
    dialog.addEventListener("close", done, { once: true });
  });
}

/**
 * A function that asks for tokens and keeps them; those who ask while it is open share it.
 * @param {HTMLDialogElement} dialog with a field per kind
 * @returns {(kinds: Kind[]) => Promise<boolean>}
 */
export function signIn(dialog) {
  /** @type {Promise<boolean> | undefined} */
  let open;
  /** @param {Kind[]} kinds */
  const ask = async (kinds) => {
    for (const field of dialog.querySelectorAll("input")) {
      const wanted = kinds.includes(/** @type {Kind} */ (field.name));
      field.disabled = !wanted;
      /** @type {HTMLElement} */ (field.closest("label")).hidden = !wanted;
    }
    const entered = await fillIn(dialog);
    for (const kind of kinds) {
      if (entered) keepToken(kind, String(entered.get(kind)).trim());
    }
    return entered !== undefined;
  };
  return (kinds) => {
    open ??= ask(kinds).finally(() => (open = undefined));
    return open;
  };
}

/**
 * @param {HTMLDialogElement} dialog
 * @returns {Promise<string | undefined>} a file or an address that the server is to open
 */
export async function askSource(dialog) {
  return (await fillIn(dialog))?.get("source")?.toString().trim();
}

/**
 * The addresses of a stream. Tokens go into fragments, which no server and no log sees.
 * @param {string} id
 */
export function links(id) {
  const key = token("watch") ? `#watch=${encodeURIComponent(token("watch"))}` : "";
  return {
    viewer: `${location.origin}/watch/${id}${key}`,
    browserSource: `${location.origin}/watch/${id}?clean=1${key}`,
    whip: `${location.origin}/whip/${FROM_OBS}`,
    publishToken: token("publish"),
  };
}

/**
 * @param {HTMLDialogElement} dialog with an <input data-link> per link, each beside its button
 * @param {string} id
 */
export function showLinks(dialog, id) {
  const all = links(id);
  for (const field of dialog.querySelectorAll("input")) {
    field.value = all[/** @type {keyof typeof all} */ (field.dataset.link)];
    /** @type {HTMLElement} */ (field.closest(".field")).hidden = !field.value;
  }
  dialog.showModal();
}

/**
 * Make the buttons beside the fields copy them.
 * @param {HTMLDialogElement} dialog
 */
export function wireCopying(dialog) {
  for (const button of dialog.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", async () => {
      const field = /** @type {HTMLInputElement} */ (button.parentElement?.querySelector("input"));
      const copied = await copy(field.value);
      if (!copied) field.select(); // then the keyboard does it
      button.textContent = copied ? "Copied" : "Press Ctrl+C";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
  }
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} false where the browser refuses, as on pages by plain http
 */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
