"""A circuit breaker: an unavailable server costs one timeout per interval, not one per caller."""

import threading
import time

from backends import metrics


class Breaker:
    """Lets every caller through until it is tripped, then one trial per interval until reset."""

    def __init__(self, interval_seconds: float, node: str) -> None:
        self.interval_seconds = interval_seconds
        self._trips = metrics.BREAKER_TRIPS.labels(node)
        self._open = metrics.OPEN_BREAKERS.labels(node)
        self._lock = threading.Lock()
        self._next_trial: float | None = None  # None: not tripped

    @property
    def is_closed(self) -> bool:
        """Whether it lets every caller through."""
        return self._next_trial is None

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
            self._trips.inc()
            self._open.set(1)

    def reset(self) -> None:
        """Record that the server answered."""
        if self._next_trial is None:
            return
        with self._lock:
            self._next_trial = None
            self._open.set(0)
