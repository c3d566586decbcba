/** A WHEP viewer. */

import { negotiate, preferH264 } from "./rtc.js";

/**
 * Watch stream `id`. Tracks replace those of the same kind in `media`, so that a <video> that
 * shows it keeps its last picture through a reconnection.
 * @param {import("./api.js").Api} api
 * @param {string} id
 * @param {MediaStream} media
 * @param {RTCIceServer[]} iceServers
 */
export function watch(api, id, media, iceServers) {
  const pc = new RTCPeerConnection({ iceServers });
  preferH264(pc.addTransceiver("video", { direction: "recvonly" }));
  pc.addTransceiver("audio", { direction: "recvonly" });
  pc.addEventListener("track", ({ track, receiver }) => {
    // The least buffering that the line allows: this is a mirror before it is a film.
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    for (const old of media.getTracks()) {
      if (old.kind === track.kind) media.removeTrack(old);
    }
    media.addTrack(track);
  });
  return negotiate(pc, api, "watch", `/whep/${id}`);
}
