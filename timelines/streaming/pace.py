"""How soon streams follow changes, so that they don't slow down deliveries."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

# A tweet's pushes come within milliseconds. Nothing is read before they pause for this long.
QUIET_SECONDS = 0.004
# If they don't pause, reading begins after BURST_SECONDS, or REST times as long as the last supply
# took. So while deliveries keep the servers busy, streams take at most a tenth of a processor.
BURST_SECONDS = 0.08
REST = 9
MOST_SECONDS = 2.0


class Pace:
    """Tells when to supply streams. A stream costs 50 times as much as a push."""

    def __init__(self) -> None:
        self._busy_seconds = 0.0

    def collect(self, changed: Callable[[], Iterable[int]]) -> Iterator[int]:
        """Yield what `changed` returns, until it returns nothing or the time is over."""
        latest = time.monotonic() + min(MOST_SECONDS, max(BURST_SECONDS, REST * self._busy_seconds))
        while found := [*changed()]:
            yield from found
            if time.monotonic() >= latest:
                return
            time.sleep(QUIET_SECONDS)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Measure how long the block takes."""
        started = time.monotonic()
        yield
        self._busy_seconds = time.monotonic() - started
