/**
 * Tokens: kept for this tab in sessionStorage, handed over in a link's fragment, which browsers
 * never send to a server: `/#publish=…&watch=…&control=…`.
 */

/** @typedef {"publish" | "watch" | "control"} Kind */

/** @type {Kind[]} */
export const KINDS = ["publish", "watch", "control"];

/** @param {Kind} kind */
const key = (kind) => `streamfx.token.${kind}`;

/**
 * @param {Kind} kind
 * @returns {string} "" where there is none
 */
export const token = (kind) => sessionStorage.getItem(key(kind)) ?? "";

/**
 * @param {Kind} kind
 * @param {string} value
 */
export const keepToken = (kind, value) => sessionStorage.setItem(key(kind), value);

/** @param {Kind} kind */
export const forgetToken = (kind) => sessionStorage.removeItem(key(kind));

/** Keep the tokens of the address and take them out of it, so that a screenshot shows none. */
export function takeTokensFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const found = KINDS.filter((kind) => given.get(kind));
  for (const kind of found) keepToken(kind, /** @type {string} */ (given.get(kind)));
  if (found.length) history.replaceState(null, "", location.pathname + location.search);
}
