/** Try again by itself: waits that grow, connections that are kept up. */

/**
 * @typedef {{closed: Promise<void>, close(): void}} Link `closed` resolves when it broke
 * @typedef {(state: "connecting" | "connected" | "waiting", error?: unknown, seconds?: number)
 *   => void} Report
 */

const FIRST = 0.5;
const LONGEST = 5;

/**
 * Seconds to wait before the next attempt: 0.5, 1, 2, 4, 5, 5 …
 * @param {number} failures attempts that failed in a row, from 1
 * @param {number} [asked] what the server asked for; at most a minute of it is believed
 */
export function backOff(failures, asked = 0) {
  return Math.max(Math.min(FIRST * 2 ** (failures - 1), LONGEST), Math.min(asked, 60));
}

/**
 * @param {number} seconds
 * @param {AbortSignal} signal ends the wait
 * @returns {Promise<void>}
 */
export function pause(seconds, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    signal.addEventListener("abort", done);
  });
}

/**
 * Keep a connection up until `signal` aborts; then it is closed.
 * @param {() => Promise<Link>} connect
 * @param {Report} report
 * @param {AbortSignal} signal
 * @param {Link} [first] a connection that stands already
 */
export async function keep(connect, report, signal, first) {
  const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
  let link = first;
  let failures = 0;
  while (!signal.aborted) {
    /** @type {unknown} */
    let reason;
    try {
      if (!link) report("connecting");
      link ??= await connect();
      failures = 0;
      if (!signal.aborted) {
        report("connected");
        await Promise.race([link.closed, aborted]);
      }
      link.close();
    } catch (error) {
      reason = error;
    }
    link = undefined;
    if (signal.aborted) return;
    failures += 1;
    const asked = /** @type {{retryAfter?: number} | undefined} */ (reason)?.retryAfter;
    const seconds = backOff(failures, asked);
    report("waiting", reason, seconds);
    await pause(seconds, signal);
  }
}

/**
 * Send the newest value only: one call at a time, and what waits meanwhile is merged.
 * @template {object} T
 * @param {(value: T) => Promise<void>} send
 */
export function latest(send) {
  /** @type {T | undefined} */
  let waiting;
  let busy = false;
  return {
    get busy() {
      return busy;
    },
    /** @param {T} value */
    async push(value) {
      waiting = { ...waiting, ...value };
      if (busy) return;
      busy = true;
      try {
        while (waiting) {
          const next = waiting;
          waiting = undefined;
          await send(next);
        }
      } finally {
        busy = false;
      }
    },
  };
}
