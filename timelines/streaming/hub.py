"""The thread that supplies all streams of a process."""

import logging
import os
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from django.db import close_old_connections

from api.cursors import Cursor
from api.errors import is_unavailable
from api.streams import place
from backends import metrics
from timelines.lists.watch import Watch
from timelines.reading.hydration import uncertified
from timelines.reading.new_flags import NewFlags
from timelines.streaming import news
from timelines.streaming.bounds import Bounds
from timelines.streaming.checks import Checks, without_token
from timelines.streaming.pace import Pace
from timelines.streaming.roster import Roster
from timelines.streaming.stream import DELETED, FAILED, REFUSED, Stream, end, give
from users.models import User

AT_ONCE = 100  # streams that are supplied together
TICK_SECONDS = 0.25
# A timeline is read again after at most this long, and what was shown is checked.
SILENCE_SECONDS = (15.0, 25.0)
# The same if the timeline came from Postgres, because then its list may not be watched.
UNWATCHED_SECONDS = (5.0, 8.0)
PAUSE_SECONDS = 1.0  # after a failure of Postgres

log = logging.getLogger(__name__)


def _in(seconds: tuple[float, float]) -> float:
    return time.monotonic() + random.uniform(*seconds)  # noqa: S311 (no secret)


class Hub:
    """Supplies streams with what is new.

    A stream is *due* when its list has changed, and from time to time anyway. Streams that are due
    are supplied together, from the newest parts of their lists. Those for which that does not
    suffice are supplied one by one, like a page. They do not hold up the others.
    """

    def __init__(self) -> None:
        self._bounds = Bounds()
        self._watch = Watch()
        self._flags = NewFlags()
        self._roster = Roster()
        self._pace = Pace()
        self._checks = Checks()
        self._inbox: SimpleQueue[tuple[Stream, bool]] = SimpleQueue()  # and whether it is new
        self._bell, self._rope = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._rope, False)
        self._tick_at = 0.0
        Thread(target=self._run, name="streams", daemon=True).start()

    def open(
        self,
        reader_id: int,
        cursor: Cursor,
        is_allowed: Callable[[], bool],
        *,
        digest: str,
        user_id: int | None,
        address: str,
    ) -> Stream:
        """Return a new stream. Raises TooManyStreams or TooManyInAll.

        `is_allowed` says whether the client may still read the timeline. `digest` is that of its
        token, or "". The user and the address are those that the stream counts against.
        """
        bounds = self._bounds.take(user_id, address)
        metrics.STREAMS.inc()
        return Stream(reader_id, cursor, self, is_allowed=is_allowed, digest=digest, counted=bounds)

    def add(self, stream: Stream) -> None:
        """Supply the stream from now on."""
        self._inbox.put((stream, True))
        self.wake()

    def remove(self, stream: Stream) -> None:
        """Forget the stream."""
        self._bounds.release(stream.counted)
        stream.counted = ()
        metrics.STREAMS.dec()
        metrics.STREAMS_ENDED.labels(stream.end_reason).inc()
        self._inbox.put((stream, False))
        self.wake()

    def wake(self) -> None:
        """Let the thread look now for streams that can be supplied."""
        with suppress(BlockingIOError):
            os.write(self._rope, b".")

    def _run(self) -> None:
        while True:
            close_old_connections()  # one may have broken
            try:
                self._turn()
            except Exception as error:
                if is_unavailable(error):
                    time.sleep(PAUSE_SECONDS)
                    continue
                log.exception("Streams can't be supplied, so they are ended.")
                end(self._roster, FAILED)

    def _turn(self) -> None:
        """Wait until streams are due and idle, and supply them. If that fails, they stay due."""
        self._watch.wait(self._milliseconds(), [self._bell])
        with suppress(BlockingIOError):
            os.read(self._bell, 65_536)
        self._take_in()
        self._roster.mark_readers(self._pace.collect(self._watch.changed))
        if self._roster.readers and time.monotonic() >= self._tick_at:
            self._tick()
        if ready := self._roster.ready()[:AT_ONCE]:
            with self._pace.working():
                found = news.of_lists(self._watch, ready)
                self._supply({stream: new for stream, new in found.items() if new})
            self._roster.put_off(stream for stream, new in found.items() if not new)
        if self._roster.lone:
            self._supply_alone(next(iter(self._roster.lone)))

    def _milliseconds(self) -> int | None:
        """Return how long to wait for changes."""
        if self._roster.lone or self._roster.ready():
            return 0
        if not self._roster.readers:
            return None
        return max(0, round(1000 * (self._tick_at - time.monotonic())))

    def _take_in(self) -> None:
        """Add the streams that have begun, and discard those that have ended."""
        with suppress(Empty):
            while True:
                stream, is_new = self._inbox.get_nowait()
                if is_new:
                    self._checks.add(stream)
                    self._roster.add(stream)
                else:
                    self._roster.discard(stream)

    def _tick(self) -> None:
        """Look at times and flags for streams that are due, and end those whose checks fail."""
        now = time.monotonic()
        self._tick_at = now + TICK_SECONDS
        streams = [*self._roster]
        self._roster.mark(stream for stream in streams if now >= stream.read_at)
        self._roster.mark_readers(self._flags.look(self._roster.readers))
        end(self._checks.failed(streams), REFUSED)

    def _supply_alone(self, stream: Stream) -> None:
        """Supply a stream like a page, which may rebuild its list."""
        if stream.is_idle:
            try:
                self._supply({stream: news.of_page(stream)})
            except User.DoesNotExist:
                end([stream], DELETED)
            stream.read_at = _in(UNWATCHED_SECONDS)
        else:
            self._roster.mark([stream])
        del self._roster.lone[stream]

    def _supply(self, found: Mapping[Stream, news.News]) -> None:
        """Give the streams what is new, unless their tokens are no longer valid."""
        suspects = [(s.reader_id, shown) for s, new in found.items() for shown in new.suspects]
        hidden = {*uncertified(suspects)} if suspects else set()
        lost = without_token([stream for stream, new in found.items() if new.tweets])
        gifts: dict[Stream, bytes] = {}
        self._roster.unmark(found)
        for stream, new in found.items():
            if stream not in lost:
                gone = {shown for shown in new.suspects if (stream.reader_id, shown) in hidden}
                gifts[stream] = b"".join(new.parts(stream, gone))
                if time.monotonic() >= stream.read_at:
                    stream.read_at = _in(SILENCE_SECONDS)
                    gifts[stream] += place(stream.cursor)  # keeps it recent
            if not new.is_all:
                self._roster.mark([stream])
        give({stream: gift for stream, gift in gifts.items() if gift})
        end(lost, REFUSED)


_hub, _making = cache(Hub), Lock()


def hub() -> Hub:
    """Return the process's hub."""
    with _making:  # threads may ask for it at the same time
        return _hub()
