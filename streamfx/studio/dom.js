/** Elements of the page. */

/** @template {HTMLElement} T @param {string} id @returns {T} */
export const $ = (id) => /** @type {T} */ (document.getElementById(id));

/** @param {string} id @returns {HTMLDialogElement} */
export const dialog = (id) => $(id);
