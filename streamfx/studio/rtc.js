/** What WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) have in common. */

import { ServerError } from "./errors.js";

/**
 * @typedef {import("./api.js").Api} Api
 * @typedef {import("./retry.js").Link & {pc: RTCPeerConnection}} PeerLink
 */

const GATHERING = 1000;
const CONNECTING = 10_000;
const INTERRUPTION = 3000;

/**
 * H.264 first and VP8 after it, with what repairs losses; nothing else.
 * @param {RTCRtpTransceiver} transceiver of video
 */
export function preferH264(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  const order = ["video/h264", "video/vp8", "video/rtx", "video/red", "video/ulpfec"];
  /** @param {RTCRtpCodec} codec */
  const rank = (codec) => {
    const fmtp = codec.sdpFmtpLine ?? "";
    const baseline = /profile-level-id=42e0/i.test(fmtp) && fmtp.includes("packetization-mode=1");
    return order.indexOf(codec.mimeType.toLowerCase()) - (baseline ? 0.5 : 0);
  };
  const known = codecs.filter((codec) => order.includes(codec.mimeType.toLowerCase()));
  transceiver.setCodecPreferences(known.sort((a, b) => rank(a) - rank(b)));
}

/**
 * Offer, answer, and the connection: resolves when media can flow.
 * @param {RTCPeerConnection} pc with its transceivers
 * @param {Api} api
 * @param {"publish" | "watch"} kind
 * @param {string} url the endpoint
 * @returns {Promise<PeerLink>}
 * @throws {ServerError} the server refuses, or no connection comes about
 */
export async function negotiate(pc, api, kind, url) {
  /** @type {URL | undefined} */
  let session;
  const close = () => {
    pc.close();
    // keepalive: this also runs while the page is being left.
    const init = { method: "DELETE", keepalive: true };
    if (session) api.request(kind, session, init).catch(() => {}); // it may be gone already
    session = undefined;
  };
  try {
    await pc.setLocalDescription();
    await gathered(pc);
    const response = await api.request(kind, url, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: pc.localDescription?.sdp,
    });
    session = new URL(response.headers.get("Location") ?? "", response.url);
    await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
    await connected(pc);
  } catch (error) {
    close();
    throw error;
  }
  return { pc, closed: broken(pc), close };
}

/**
 * @param {RTCPeerConnection} pc
 * @returns {Promise<void>} when all candidates are there, or after a second
 */
function gathered(pc) {
  return new Promise((resolve) => {
    const check = () => pc.iceGatheringState === "complete" && resolve();
    pc.addEventListener("icegatheringstatechange", check);
    setTimeout(resolve, GATHERING);
    check();
  });
}

/**
 * @param {RTCPeerConnection} pc
 * @returns {Promise<void>}
 */
function connected(pc) {
  return new Promise((resolve, reject) => {
    const fail = () => {
      const why = "No media connection to the server came about. A firewall may block UDP.";
      reject(new ServerError(0, why));
    };
    const check = () => {
      if (pc.connectionState === "connected") resolve();
      if (pc.connectionState === "failed") fail();
    };
    pc.addEventListener("connectionstatechange", check);
    setTimeout(fail, CONNECTING);
    check();
  });
}

/**
 * @param {RTCPeerConnection} pc
 * @returns {Promise<void>} when it broke; a short interruption is none
 */
function broken(pc) {
  return new Promise((resolve) => {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    pc.addEventListener("connectionstatechange", () => {
      clearTimeout(timer);
      if (pc.connectionState === "failed") resolve();
      if (pc.connectionState === "disconnected") timer = setTimeout(resolve, INTERRUPTION);
    });
    // A server that says good-bye closes DTLS; the connection's own state lags behind.
    for (const { receiver } of pc.getTransceivers()) {
      receiver.transport?.addEventListener("statechange", () => {
        if (receiver.transport?.state === "closed") resolve();
      });
    }
  });
}
