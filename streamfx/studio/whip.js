/** A WHIP publisher. */

import { negotiate, preferH264 } from "./rtc.js";

const BITS_PER_PIXEL = 0.1; // at 30 frames per second: 2.8 Mbit/s for 1280x720

/**
 * Publish `media` as stream `id`.
 * @param {import("./api.js").Api} api
 * @param {string} id
 * @param {MediaStream} media a picture, perhaps sound
 * @param {number} height the most lines to send; larger pictures are scaled down
 * @param {RTCIceServer[]} iceServers
 */
export async function publish(api, id, media, height, iceServers) {
  const pc = new RTCPeerConnection({ iceServers });
  const [picture] = media.getVideoTracks();
  picture.contentHint = "motion";
  const { height: lines = height } = picture.getSettings();
  const video = pc.addTransceiver(picture, {
    direction: "sendonly",
    streams: [media],
    sendEncodings: [
      {
        scaleResolutionDownBy: Math.max(1, lines / height),
        maxBitrate: Math.round(((height * height * 16) / 9) * 30 * BITS_PER_PIXEL),
        maxFramerate: 30,
      },
    ],
  });
  preferH264(video);
  for (const track of media.getAudioTracks()) {
    pc.addTransceiver(track, { direction: "sendonly", streams: [media] });
  }
  const link = await negotiate(pc, api, "publish", `/whip/${id}`);
  // A stream is watched for its motion: fewer pixels are better than fewer frames.
  const parameters = video.sender.getParameters();
  parameters.degradationPreference = "maintain-framerate";
  await video.sender.setParameters(parameters);
  return link;
}
