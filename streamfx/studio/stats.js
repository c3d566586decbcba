/** Live figures: rates, and where the delay comes from. */

/**
 * @typedef {import("./api.js").Stream} Stream
 * @typedef {{sending?: RTCStatsReport, receiving?: RTCStatsReport}} Reports
 * @typedef {{browser: number, network: number, wait: number, restyle: number, encode: number}} Delay
 *   milliseconds
 */

/** @type {(keyof Delay)[]} */
const STAGES = ["browser", "network", "wait", "restyle", "encode"];

/** Reads the delay of a picture off what the server and this browser measure. */
export class DelayMeter {
  /** @type {Map<string, number>} totals and counts at the last reading */
  #last = new Map();

  /**
   * The delay by its stages, since the last reading. It is a sum of parts: the server's medians
   * and the browser's means, not a measurement from end to end.
   * @param {Stream} stream
   * @param {Reports} reports
   * @returns {Delay}
   */
  read({ stats: { stages } }, { sending, receiving }) {
    const sent = entry(sending, "outbound-rtp");
    const shown = entry(receiving, "inbound-rtp");
    const browser =
      this.#mean(sent, "totalEncodeTime", "framesEncoded") +
      this.#mean(shown, "jitterBufferDelay", "jitterBufferEmittedCount") +
      this.#mean(shown, "totalDecodeTime", "framesDecoded");
    return {
      browser: browser * 1000,
      network: ((roundTrip(sending) + roundTrip(receiving)) / 2) * 1000,
      wait: stages.wait.p50,
      restyle: stages.restyle.p50,
      encode: stages.encode.p50,
    };
  }

  /**
   * Seconds on average since the last reading, 0 where nothing was counted.
   * @param {Record<string, any>} found
   * @param {string} total
   * @param {string} count
   */
  #mean(found, total, count) {
    const [seconds, frames] = [total, count].map((name) => {
      const grown = (found[name] ?? 0) - (this.#last.get(name) ?? 0);
      this.#last.set(name, found[name] ?? 0);
      return grown;
    });
    return frames > 0 && seconds > 0 ? seconds / frames : 0;
  }
}

/**
 * @param {RTCStatsReport | undefined} report
 * @param {string} type
 * @returns {Record<string, any>}
 */
function entry(report, type) {
  const entries = report ? [...report.values()] : [];
  return entries.find((found) => found.type === type && found.kind === "video") ?? {};
}

/** @param {RTCStatsReport | undefined} report */
function roundTrip(report) {
  const pairs = report ? [...report.values()] : [];
  const used = pairs.find((pair) => pair.type === "candidate-pair" && pair.nominated);
  return used?.currentRoundTripTime ?? 0;
}

/** The panel of figures: elements of `root` with `data-figure`. */
export class Figures {
  #root;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
    this.clear();
  }

  /**
   * @param {Stream} stream
   * @param {Delay} parts
   */
  show(stream, parts) {
    const { stats } = stream;
    const total = STAGES.reduce((sum, stage) => sum + parts[stage], 0);
    const dropped = Object.entries(stats.dropped).filter(([, count]) => count > 0);
    this.#write("fps_in", stats.fps_in.toFixed(0));
    this.#write("fps_out", stats.fps_out.toFixed(0));
    this.#write("delay", total.toFixed(0));
    this.#write("bitrate", (stats.bitrate / 1e6).toFixed(1));
    this.#write("dropped", String(dropped.reduce((sum, [, count]) => sum + count, 0)));
    this.#write("viewers", String(stream.viewers));
    const [size, scale] = [stats.size_out, stats.working_scale];
    this.#write("size", size ? size.join(" × ") : "–");
    this.#write("scale", scale < 1 ? `painted at ${Math.round(scale * 100)} %` : "");
    this.#find("dropped").title = dropped.map(([why, count]) => `${why}: ${count}`).join(", ");
    for (const stage of STAGES) {
      this.#write(stage, parts[stage].toFixed(0));
      this.#root.style.setProperty(`--${stage}`, String(parts[stage] / Math.max(total, 1)));
    }
  }

  clear() {
    for (const figure of this.#root.querySelectorAll("[data-figure]")) figure.textContent = "–";
    this.#write("scale", "");
    for (const stage of STAGES) this.#root.style.setProperty(`--${stage}`, "0");
  }

  /** @param {string} figure @param {string} text */
  #write(figure, text) {
    this.#find(figure).textContent = text;
  }

  /** @param {string} figure */
  #find(figure) {
    return /** @type {HTMLElement} */ (this.#root.querySelector(`[data-figure=${figure}]`));
  }
}
