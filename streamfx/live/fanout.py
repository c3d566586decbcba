"""From encoders to viewers: every packet is made once and shared by all who watch its target."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock

from streamfx.live.encoders import Packet
from streamfx.live.rungs import Codec, Rung, Sound, Target

# A second of pictures and a second of sound: whoever is that far behind gains nothing by more.
MOST_PICTURES = 30
MOST_SOUNDS = 50

log = logging.getLogger(__name__)


class Viewer:
    """One viewer's packets: bounded queues that a stream fills and the viewer empties.

    Made by `LiveStream.subscribe`. All methods may be called from any thread. Packets are
    shared: they are to be read, not changed.

    Attributes:
        codec: of the pictures.
        sound: the codec of the sound.
        rung: the size that the bitrate policy gives this viewer.
        bandwidth: what it last reported, bits a second; None before.
        dropped: packets that it missed because its queue was full.
        closed: whether anything more will come.
    """

    def __init__(
        self,
        codec: Codec,
        wake: Callable[[], None],
        ask_for_key_frame: Callable[[Target], None],
        on_close: Callable[[Viewer], None],
        sound: Sound = "opus",
    ) -> None:
        self.codec: Codec = codec
        self.sound: Sound = sound
        self.rung: Rung = "full"
        self.bandwidth: int | None = None
        self.dropped = 0
        self.closed = False
        self._wake = wake
        self._ask = ask_for_key_frame
        self._on_close = on_close
        self._lock = Lock()
        self._pictures: deque[Packet] = deque()
        self._sounds: deque[Packet] = deque()
        # The rung whose packets follow the last one given; None: only a key frame can follow.
        self._serving: Rung | None = None
        self._lost = False  # pictures, and nothing was taken since

    def next_video(self) -> Packet | None:
        """The next picture, None if none waits.

        Its pts counts 1/90000 s of the stream's clock (`captured`); H.264 is in Annex B form.
        The first one is a key frame, and so is the first one after a loss.
        """
        with self._lock:
            if self._pictures:
                return self._pictures.popleft()
            lost, self._lost = self._lost, False
        if lost:
            self._ask(Target(self.codec, self.rung))
        return None

    def next_audio(self) -> Packet | None:
        """The next packet of sound, None if none waits; pts in 1/48000 s of the same clock."""
        with self._lock:
            return self._sounds.popleft() if self._sounds else None

    @property
    def queued(self) -> tuple[int, int]:
        """Packets of pictures and of sound that wait."""
        return len(self._pictures), len(self._sounds)

    def report_bandwidth(self, bits_per_second: int) -> None:
        """Say what the way to this viewer is estimated to carry (such as a REMB message)."""
        self.bandwidth = max(0, bits_per_second)

    def request_key_frame(self) -> None:
        """Ask for a key frame of what this viewer is being sent (such as a PLI message)."""
        if not self.closed:
            self._ask(Target(self.codec, self._serving or self.rung))

    def close(self) -> None:
        """Leave; what waits is dropped. Closing again does nothing."""
        if not self.closed:
            self.closed = True
            with self._lock:
                self._pictures.clear()
                self._sounds.clear()
            self._on_close(self)

    def targets(self) -> set[Target]:
        """What must be encoded for this viewer: its rung, and on the way there the old one."""
        return {Target(self.codec, rung) for rung in (self.rung, self._serving) if rung}

    def offer(self, packets: Mapping[Target, Packet]) -> None:
        """Take this viewer's packet out of those of one frame."""
        with self._lock:
            packet = self._choose(packets)
            if packet is None:
                return
            if len(self._pictures) < MOST_PICTURES:
                self._pictures.append(packet)
            else:
                self.dropped += len(self._pictures) + 1
                self._pictures.clear()
                # A key frame is asked for when the viewer takes again: one that takes nothing
                # would cost the others a key frame a second.
                self._serving, self._lost = None, True
        self._call()

    def offer_sound(self, packet: Packet) -> None:
        """Take a packet of sound."""
        with self._lock:
            if len(self._sounds) >= MOST_SOUNDS:
                self.dropped += len(self._sounds)
                self._sounds.clear()
            self._sounds.append(packet)
        self._call()

    def end(self) -> None:
        """The stream is over: what waits can still be taken."""
        self.closed = True
        self._call()

    def _choose(self, packets: Mapping[Target, Packet]) -> Packet | None:
        wanted = packets.get(Target(self.codec, self.rung))
        if self._serving == self.rung:
            return wanted
        if wanted is not None and wanted.is_keyframe:
            self._serving, self._lost = self.rung, False
            return wanted
        if self._serving is None:
            return None
        return packets.get(Target(self.codec, self._serving))

    def _call(self) -> None:
        try:
            self._wake()
        except Exception:  # it is the viewer's code, and other viewers must not suffer from it
            log.exception("a viewer cannot be woken and is closed")
            self.close()


class Fanout:
    """The viewers of one stream.

    Args:
        ask_for_key_frame: called when a viewer cannot go on without one.
        on_change: called when a viewer came or left.
    """

    def __init__(
        self, ask_for_key_frame: Callable[[Target], None], on_change: Callable[[], None]
    ) -> None:
        self._ask = ask_for_key_frame
        self._on_change = on_change
        self._viewers: tuple[Viewer, ...] = ()  # replaced as a whole, so that reading needs no lock
        self._lock = Lock()

    @property
    def viewers(self) -> tuple[Viewer, ...]:
        return self._viewers

    def add(self, codec: Codec, wake: Callable[[], None], sound: Sound = "opus") -> Viewer:
        """A new viewer, which gets a key frame first."""
        viewer = Viewer(codec, wake, self._ask, self._remove, sound)
        with self._lock:
            self._viewers = (*self._viewers, viewer)
        self._ask(Target(codec, viewer.rung))
        self._on_change()
        return viewer

    def queued(self) -> tuple[int, int]:
        """Packets of pictures and of sound that wait for the viewer who is furthest behind."""
        queued = [viewer.queued for viewer in self._viewers]
        return max((p for p, _ in queued), default=0), max((s for _, s in queued), default=0)

    def targets(self) -> frozenset[Target]:
        """What is watched now."""
        return frozenset(target for viewer in self._viewers for target in viewer.targets())

    def deliver(self, packets: Mapping[Target, Packet]) -> None:
        """Hand out the packets of one frame."""
        for viewer in self._viewers:
            viewer.offer(packets)

    def sounds(self) -> frozenset[Sound]:
        """What is heard now."""
        return frozenset(viewer.sound for viewer in self._viewers)

    def deliver_sound(self, packet: Packet, codec: Sound) -> None:
        """Hand out a packet of sound to those who hear this codec."""
        for viewer in self._viewers:
            if viewer.sound == codec:
                viewer.offer_sound(packet)

    def close(self) -> None:
        """Tell all viewers that nothing more will come."""
        with self._lock:
            leaving, self._viewers = self._viewers, ()
        for viewer in leaving:
            viewer.end()

    def _remove(self, viewer: Viewer) -> None:
        with self._lock:
            self._viewers = tuple(each for each in self._viewers if each is not viewer)
        self._on_change()
