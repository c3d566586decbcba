/** Style expressions of one style or two: `great-wave`, `great-wave:0.6+starry-night:0.4`. */

/** @typedef {{first: string, second: string, mix: number}} Blend `mix` 0..1 is of `second` */

/** @param {Blend} blend */
export function format({ first, second, mix }) {
  if (!second || second === first) return first;
  return `${first}:${round(1 - mix)}+${second}:${round(mix)}`;
}

/**
 * @param {string} expression as the server writes it: weights sum to 1
 * @returns {Blend | undefined} none where it mixes more than two styles
 */
export function parse(expression) {
  const terms = expression.split("+").map((term) => {
    const [name, weight] = term.trim().split(":");
    return { name: name.split("/").pop() ?? "", weight: weight === undefined ? 1 : Number(weight) };
  });
  const [first, second] = terms;
  if (terms.length > 2) return undefined;
  if (!second) return { first: first.name, second: "", mix: 0 };
  const mix = second.weight / (first.weight + second.weight);
  return { first: first.name, second: second.name, mix };
}

/** @param {number} weight */
const round = (weight) => Number(weight.toFixed(2));
