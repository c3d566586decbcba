"""What every source that the program plays itself has in common."""

from __future__ import annotations

from threading import Event, Thread, current_thread


class ThreadedSource:
    """A source with a thread of its own, which ends soon after `_stop` is set.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._stop = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin, once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it; again, or before the start, it does nothing."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not current_thread():
            self._thread.join()

    def _run(self) -> None:
        """What the thread does."""
        raise NotImplementedError
