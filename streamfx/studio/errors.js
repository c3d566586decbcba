/** What goes wrong, in words that name the fix. */

/** The server refused a request, or did not answer (status 0). */
export class ServerError extends Error {
  /**
   * @param {number} status HTTP status, 0 where there was no answer
   * @param {string} message one sentence
   * @param {number} [retryAfter] seconds, from the Retry-After header
   */
  constructor(status, message, retryAfter = 0) {
    super(message);
    this.name = "ServerError";
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** @param {Response} response an answer outside 200..299 */
  static async from(response) {
    const text = (await response.text()).trim();
    const seconds = Number(response.headers.get("Retry-After")) || 0;
    return new ServerError(response.status, sentence(response, text), seconds);
  }

  static away() {
    return new ServerError(0, "The server does not answer. Is streamfx still running?");
  }
}

/** Something a person can put right; the message says how. */
export class StudioError extends Error {}

const STATUSES = {
  401: "The server wants a token for this. Reload the page to enter it.",
  404: "This stream is not on the air.",
  413: "That is more than the server takes. Choose a smaller file.",
  503: "The server is full. Stop another stream, or try again later.",
};

/**
 * @param {Response} response
 * @param {string} text its body
 */
function sentence(response, text) {
  // What the server says of tokens is for programs.
  const forPeople = response.status !== 401;
  const said = forPeople ? spoken(response.headers.get("Content-Type") ?? "", text) : "";
  const known = STATUSES[/** @type {keyof typeof STATUSES} */ (response.status)];
  const found = said || known || `The server answered ${response.status}.`;
  return found[0].toUpperCase() + found.slice(1) + (/[.!?]$/.test(found) ? "" : ".");
}

/**
 * The server's own sentence, "" where it said none that is fit to show.
 * @param {string} type
 * @param {string} text
 */
function spoken(type, text) {
  if (type.includes("json")) {
    try {
      return String(JSON.parse(text).error ?? "");
    } catch {
      return "";
    }
  }
  return type.startsWith("text/plain") && text.length <= 300 ? text : "";
}

const DEVICES = {
  NotAllowedError:
    "The browser may not use the {device}. Allow it beside the address, then try again.",
  NotFoundError: "No {device} was found. Plug one in, or choose another source.",
  NotReadableError: "The {device} is in use by another program. Close that one, then try again.",
  OverconstrainedError: "The {device} has no such picture size. Choose another size.",
};

/**
 * Why a camera or a screen could not be had.
 * @param {unknown} error what getUserMedia or getDisplayMedia threw
 * @param {string} device "camera", "camera or microphone", "screen"
 */
export function deviceError(error, device) {
  const name = error instanceof DOMException ? error.name : "";
  const known = DEVICES[/** @type {keyof typeof DEVICES} */ (name)];
  return new StudioError(
    (known ?? "The {device} could not be started.").replace("{device}", device),
  );
}

/** @param {unknown} error */
export function words(error) {
  if (error instanceof ServerError || error instanceof StudioError) return error.message;
  console.error(error);
  return "Something went wrong in this page. Reload it; the browser's console says more.";
}
