// What a case says of what it got.

/**
 * Throws unless something is so.
 *
 * @param {string} what
 * @param {boolean} isSo
 */
export function holds(what, isSo) {
  if (!isSo) throw new Error(`not so: ${what}`);
}

/**
 * Throws unless two values are the same, down to what they consist of.
 *
 * @param {string} what
 * @param {unknown} got
 * @param {unknown} want
 */
export function same(what, got, want) {
  const [told, wanted] = [JSON.stringify(got), JSON.stringify(want)];
  if (told !== wanted) throw new Error(`${what}: got ${told}, want ${wanted}`);
}

/**
 * Throws unless a duration is at least `from` and less than `to`.
 *
 * @param {string} what
 * @param {number} durationMs
 * @param {number} from
 * @param {number} to
 */
export function lasts(what, durationMs, from, to) {
  holds(`${what}: ${durationMs} ms is from ${from} to ${to}`, durationMs >= from && durationMs < to);
}
