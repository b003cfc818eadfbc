"""A circuit breaker: an unavailable server costs one timeout per interval, not one per caller."""

import threading
import time


class Breaker:
    """Lets every caller through until it is tripped, then one trial per interval until reset."""

    def __init__(self, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        self._lock = threading.Lock()
        self._next_trial: float | None = None  # None: not tripped

    def lets_through(self) -> bool:
        """Return whether this caller may try the server."""
        with self._lock:
            if self._next_trial is None:
                return True
            now = time.monotonic()
            if now < self._next_trial:
                return False
            self._next_trial = now + self.interval_seconds
            return True

    def trip(self) -> None:
        """Record that the server did not answer."""
        with self._lock:
            self._next_trial = time.monotonic() + self.interval_seconds

    def reset(self) -> None:
        """Record that the server answered."""
        with self._lock:
            self._next_trial = None
