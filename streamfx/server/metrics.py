"""Prometheus metrics: counts and stage times as they happen, the rest when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from streamfx.server.hub import Hub

# Seconds; frames come every 33 ms, and 100 ms is what a viewer may wait.
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.025, 0.033, 0.05, 0.075, 0.1, 0.15, 0.25, 1)

Sessions = Callable[[], Mapping[tuple[str, str], int]]


class Metrics:
    """Takes the measurements of all streams (the `Observer` of `streamfx.live`).

    Counters go over all streams since the start, so that they never fall when a stream ends;
    gauges have a label for the stream.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._stages = Histogram(
            "streamfx_stage_seconds",
            "Time that frames take in a stage; delay is from capture to having been sent.",
            ["stage"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._counters = {
            "frames_in": self._counter("frames_in", "Frames that publishers and sources sent."),
            "frames_restyled": self._counter("frames_restyled", "Frames through the engine."),
            "frames_out": self._counter("frames_out", "Pictures handed to viewers."),
            "dropped": self._counter("frames_dropped", "Frames that were dropped.", "reason"),
            "key_frames": self._counter("key_frames", "Key frames made.", "codec", "rung"),
        }
        ProcessCollector(registry=self.registry)

    def watch(self, hub: Hub, sessions: Sessions) -> None:
        """Show the state of a hub's streams, and `sessions`: (kind, state) -> how many."""
        self.registry.register(_State(hub, sessions))

    def observe(self, stage: str, seconds: float) -> None:
        """A frame took that long in a stage."""
        self._stages.labels(stage).observe(seconds)

    def count(self, name: str, **labels: str) -> None:
        """Something happened once."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc()

    def _counter(self, name: str, said: str, *labels: str) -> Counter:
        return Counter(f"streamfx_{name}", said, labels, registry=self.registry)


class _State(Collector):
    """What streams and sessions are at the moment of a scrape."""

    def __init__(self, hub: Hub, sessions: Sessions) -> None:
        self._hub = hub
        self._sessions = sessions

    def collect(self) -> Iterator[GaugeMetricFamily]:
        def gauge(name: str, said: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"streamfx_{name}", said, labels=labels)

        streams = gauge("streams", "Streams on the air.", "state")
        viewers = gauge("viewers", "Viewers.", "stream")
        fps = gauge("fps", "Frames a second over the last 2 s.", "stream", "direction")
        bitrate = gauge("bitrate_bps", "Bits a second encoded.", "stream", "codec", "rung")
        scale = gauge("working_scale", "Of the sides that the engine works at.", "stream")
        queued = gauge("queue_depth", "What waits in a queue.", "stream", "queue")
        sound = gauge("audio_delay_seconds", "How long sound is held back.", "stream")
        states = dict.fromkeys(("waiting", "live", "paused"), 0)
        for entry in self._hub.entries():
            name, stats = entry.stream.name, entry.stream.stats()
            states[stats.state] = states.get(stats.state, 0) + 1
            viewers.add_metric([name], stats.viewers)
            fps.add_metric([name, "in"], stats.fps_in)
            fps.add_metric([name, "out"], stats.fps_out)
            for target, bits in stats.bitrate.items():
                bitrate.add_metric([name, *target.split("/")], bits)
            scale.add_metric([name], stats.working_scale)
            for queue, depth in stats.queued.items():
                queued.add_metric([name, queue], depth)
            sound.add_metric([name], stats.audio_delay_ms / 1000)
        for state, number in states.items():
            streams.add_metric([state], number)
        sessions = gauge("sessions", "WebRTC sessions.", "kind", "state")
        for labels, number in self._sessions().items():
            sessions.add_metric(labels, number)
        yield from (streams, viewers, fps, bitrate, scale, queued, sound, sessions)


async def scrape(request: web.Request) -> web.Response:
    """`GET /metrics`, in the text format that the client asks for."""
    encode, kind = choose_encoder(request.headers.get("Accept", ""))
    body = encode(request.app[METRICS].registry)
    return web.Response(body=body, headers={"Content-Type": kind})


METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)
