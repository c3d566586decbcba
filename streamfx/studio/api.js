/** The server's HTTP API. */

import { ServerError } from "./errors.js";
import { forgetToken, token } from "./tokens.js";

/**
 * @typedef {import("./tokens.js").Kind} Kind
 * @typedef {{p50: number, p95: number}} Stage milliseconds
 * @typedef {object} Stats
 * @property {number} fps_in
 * @property {number} fps_out
 * @property {Record<string, number>} dropped frames by reason
 * @property {{wait: Stage, restyle: Stage, encode: Stage}} stages
 * @property {number} bitrate bits per second
 * @property {[number, number] | null} size_out
 * @property {number} working_scale
 *
 * @typedef {object} Control
 * @property {string} style an expression
 * @property {number} strength 0..1
 * @property {boolean} enabled
 *
 * @typedef {Control & {id: string, state: string, source: string, viewers: number,
 *   stats: Stats}} Stream
 * @typedef {{name: string, title: string, author: string, year: string | number | null,
 *   kind: "catalogue" | "picture" | "saved", thumbnail: string}} Style
 * @typedef {object} Info
 * @property {RTCIceServer[]} ice_servers
 * @property {Record<Kind, boolean>} tokens which are needed
 * @property {{style: string, strength: number}} defaults
 * @property {{picture_bytes: number}} limits
 * @property {{demo: boolean, allowed: boolean}} sources
 *
 * @typedef {{type: string, data: any}} ServerEvent
 */

export class Api {
  #ask;
  #thumbnails = new Map();

  /** @param {(kinds: Kind[]) => Promise<boolean>} ask asks a person for tokens; false = refused */
  constructor(ask) {
    this.#ask = ask;
  }

  /**
   * One request with the token of `kind`, which is asked for where the server wants another.
   * @param {Kind} kind
   * @param {string | URL} url
   * @param {RequestInit} [init]
   * @returns {Promise<Response>} a good answer
   * @throws {ServerError} any other answer, or none
   */
  async request(kind, url, init = {}) {
    for (;;) {
      const used = token(kind);
      const headers = new Headers(init.headers);
      if (used) headers.set("Authorization", `Bearer ${used}`);
      const response = await reach(url, { ...init, headers });
      if (response.ok) return response;
      const error = await ServerError.from(response);
      if (response.status !== 401) throw error;
      if (used === token(kind)) {
        forgetToken(kind);
        if (!(await this.#ask([kind]))) throw error;
      }
    }
  }

  /** @returns {Promise<Info>} */
  info = () => this.#json("GET", "/api/info");

  /** @returns {Promise<Stream[]>} */
  streams = async () => (await this.#json("GET", "/api/streams")).streams;

  /** @param {string} id @returns {Promise<Stream>} */
  stream = (id) => this.#json("GET", `/api/streams/${id}`);

  /** @param {{id: string, source: string, loop?: boolean}} body @returns {Promise<Stream>} */
  open = (body) => this.#json("POST", "/api/streams", body);

  /** @param {string} id @param {Partial<Control>} change @returns {Promise<Stream>} */
  change = (id, change) => this.#json("PATCH", `/api/streams/${id}`, change);

  /** @param {string} id */
  end = (id) => this.request("control", `/api/streams/${id}`, { method: "DELETE" });

  /** @returns {Promise<Style[]>} */
  styles = async () => (await this.#json("GET", "/api/styles")).styles;

  /**
   * Style expressions to choose from.
   * @param {{like?: string, kept: string[], generation: number, seed: number}} search
   * @returns {Promise<string[]>}
   */
  explore = async (search) => (await this.#json("POST", "/api/explore", search)).styles;

  /**
   * The running picture of a stream, or the demo scene, in a style; the caller revokes it.
   * @param {string} style an expression
   * @param {string | undefined} stream
   * @returns {Promise<string>} a blob's address
   */
  async preview(style, stream) {
    const body = JSON.stringify({ style, stream });
    const init = { method: "POST", headers: { "Content-Type": "application/json" }, body };
    const response = await this.request("control", "/api/preview", init);
    return URL.createObjectURL(await response.blob());
  }

  /** @param {{name: string, style: string, title: string}} body @returns {Promise<Style>} */
  keepStyle = (body) => this.#json("POST", "/api/styles/kept", body);

  /** @param {string} name */
  removeStyle = (name) => this.request("control", `/api/styles/${name}`, { method: "DELETE" });

  /**
   * @param {Blob} picture
   * @param {string} title
   * @returns {Promise<Style>}
   */
  async addStyle(picture, title) {
    const url = `/api/styles?title=${encodeURIComponent(title)}`;
    const headers = { "Content-Type": picture.type };
    const init = { method: "POST", body: picture, headers };
    return (await this.request("control", url, init)).json();
  }

  /**
   * The address of a thumbnail: a blob's, since an <img> sends no token.
   * @param {Style} style
   * @returns {Promise<string>}
   */
  thumbnail(style) {
    const load = async () => {
      const response = await this.request("control", style.thumbnail);
      return URL.createObjectURL(await response.blob());
    };
    if (!this.#thumbnails.has(style.name)) this.#thumbnails.set(style.name, load());
    return this.#thumbnails.get(style.name);
  }

  /**
   * The events of one stream, until the connection or `signal` ends.
   * @param {string} id
   * @param {AbortSignal} signal
   * @returns {AsyncGenerator<ServerEvent>}
   */
  async *events(id, signal) {
    const url = `/api/events?stream=${id}`;
    const headers = { Accept: "text/event-stream" };
    const { body } = await this.request("control", url, { headers, signal });
    if (body) yield* readEvents(body);
  }

  /**
   * @param {string} method
   * @param {string} url
   * @param {object} [body]
   */
  async #json(method, url, body) {
    const headers = { "Content-Type": "application/json" };
    const init = body ? { method, headers, body: JSON.stringify(body) } : { method };
    return (await this.request("control", url, init)).json();
  }
}

/**
 * @param {string | URL} url
 * @param {RequestInit} init
 */
async function reach(url, init) {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw ServerError.away();
  }
}

/**
 * Server-sent events (WHATWG HTML, 9.2.6) of a body whose data is JSON.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<ServerEvent>}
 */
async function* readEvents(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const blocks = text.split(/\r?\n\r?\n/);
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const type = /^event: ?(.*)$/m.exec(block)?.[1] ?? "message";
      const data = [...block.matchAll(/^data: ?(.*)$/gm)].map((line) => line[1]).join("\n");
      if (data) yield { type, data: JSON.parse(data) };
    }
  }
}
