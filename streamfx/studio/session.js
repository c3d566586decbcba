/** One stream as this page has it: published or not, watched, its events followed. */

import { keep } from "./retry.js";
import { watch } from "./whep.js";
import { publish } from "./whip.js";

/**
 * @typedef {import("./api.js").Api} Api
 * @typedef {import("./api.js").Control} Control
 * @typedef {import("./api.js").Stream} Stream
 * @typedef {import("./rtc.js").PeerLink} PeerLink
 * @typedef {"publish" | "watch" | "events"} Part
 * @typedef {object} Hooks
 * @property {(part: Part, ...report: Parameters<import("./retry.js").Report>) => void} report
 * @property {(stream: Stream) => void} stream what the server says of it
 * @property {() => void} closed the server ended it
 */

export class Session {
  #api;
  #ice;
  #hooks;
  #ends = new AbortController();
  /** @type {Partial<Record<Part, PeerLink>>} */
  #links = {};
  /** @type {import("./sources.js").Source | undefined} */
  #source;
  /** The restyled picture and sound. */
  media = new MediaStream();

  /**
   * @param {Api} api
   * @param {string} id
   * @param {RTCIceServer[]} iceServers
   * @param {Hooks} hooks
   */
  constructor(api, id, iceServers, hooks) {
    this.#api = api;
    this.id = id;
    this.#ice = iceServers;
    this.#hooks = hooks;
  }

  /**
   * Put a source on the air and watch it.
   * @param {import("./sources.js").Source} source
   * @param {number} height the most lines to send
   * @param {() => Control} control what is chosen; asked again when the stream had to come back
   */
  async start(source, height, control) {
    this.#source = source;
    const { media, name } = source;
    if (media) {
      const connect = async () => {
        const chosen = control();
        const link = await publish(this.#api, this.id, media, height, this.#ice);
        try {
          await this.#api.change(this.id, chosen);
        } catch (error) {
          link.close();
          throw error;
        }
        return link;
      };
      // The first time a refusal is an answer; once on the air it is an interruption.
      void this.#keep("publish", connect, await connect());
    } else if (name) {
      await this.#api.open({ id: this.id, source: name, loop: true });
      await this.#api.change(this.id, control());
    }
    this.watch();
  }

  /** Watch and follow a stream that is on the air. */
  watch() {
    const { signal } = this.#ends;
    void this.#keep("watch", () => watch(this.#api, this.id, this.media, this.#ice));
    void keep(() => this.#follow(signal), this.#reporter("events"), signal);
  }

  /** Both connections' WebRTC statistics. */
  async reports() {
    const [sending, receiving] = [this.#links.publish?.pc, this.#links.watch?.pc];
    return { sending: await sending?.getStats(), receiving: await receiving?.getStats() };
  }

  /** Let go of everything; a stream that nobody ends stays for a while, for its return. */
  close() {
    this.#ends.abort();
    for (const link of Object.values(this.#links)) link.close();
    this.#source?.stop();
  }

  /** Close, and take the stream off the air. */
  async end() {
    this.close();
    await this.#api.end(this.id).catch((error) => {
      if (error.status !== 404) throw error; // else it ended meanwhile
    });
  }

  /**
   * @param {"publish" | "watch"} part
   * @param {() => Promise<PeerLink>} connect
   * @param {PeerLink} [first]
   */
  #keep(part, connect, first) {
    /** @param {PeerLink} link */
    const hold = (link) => (this.#links[part] = link);
    if (first) hold(first);
    const again = async () => hold(await connect());
    return keep(again, this.#reporter(part), this.#ends.signal, first);
  }

  /** @param {Part} part @returns {import("./retry.js").Report} */
  #reporter(part) {
    return (...report) => this.#hooks.report(part, ...report);
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<import("./retry.js").Link>}
   */
  async #follow(signal) {
    const events = this.#api.events(this.id, signal);
    const first = await events.next();
    const read = async () => {
      for (let next = first; !next.done; next = await events.next()) {
        if (next.value.type === "stream") this.#hooks.stream(next.value.data);
        if (next.value.type === "closed") this.#hooks.closed();
      }
    };
    return { closed: read().catch(() => {}), close: () => {} };
  }
}

/** The stream of this tab: named in the address, or a name that lasts as long as the tab. */
export function ownStream() {
  const named = new URLSearchParams(location.search).get("stream") ?? "";
  if (/^[a-z0-9][a-z0-9-]{0,63}$/.test(named)) return named;
  const kept = sessionStorage.getItem("streamfx.stream");
  const digits = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
  const id = kept ?? `studio-${digits}`;
  sessionStorage.setItem("streamfx.stream", id);
  return id;
}
