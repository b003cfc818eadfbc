"""A circuit breaker: a server that is away costs its timeout once an interval, not every caller."""

import threading
import time


class Breaker:
    """Lets everybody through until it is tripped, then one trial an interval until one succeeds."""

    def __init__(self, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        self._lock = threading.Lock()
        self._next_trial: float | None = None  # None: not tripped

    def lets_through(self) -> bool:
        """Whether this caller may try; the others wait for what becomes of it."""
        with self._lock:
            if self._next_trial is None:
                return True
            now = time.monotonic()
            if now < self._next_trial:
                return False
            self._next_trial = now + self.interval_seconds
            return True

    def trip(self) -> None:
        """The server was away."""
        with self._lock:
            self._next_trial = time.monotonic() + self.interval_seconds

    def reset(self) -> None:
        """The server answered."""
        with self._lock:
            self._next_trial = None
