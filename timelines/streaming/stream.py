"""One client's stream of a home timeline."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from api import streams
from api.cursors import Cursor
from tweets.displayed import DisplayedTweet

HEARTBEAT_SECONDS = 15.0  # of silence, then a comment shows that the connection is alive
HEARTBEAT = b": heartbeat\n\n"
MOST_SHOWN = 200  # tweets that are checked again
# When clients come back after a disconnection, in milliseconds. The times are spread, because all
# clients are disconnected at once when a server dies or stops.
RETRY_MILLISECONDS = (2_000, 5_000)
RETRY_AFTER_STOP_MILLISECONDS = (1_000, 10_000)
# Why streams end, in metrics.
CLOSED = "closed"  # the client went away or was cut off, or the server stops
REFUSED = "refused"  # the client may not read any more
DELETED = "deleted"  # the reader was deleted
FAILED = "failed"


class Keeper(Protocol):
    """What keeps a stream supplied."""

    def add(self, stream: "Stream") -> None: ...

    def remove(self, stream: "Stream") -> None: ...

    def wake(self) -> None: ...


class Stream:
    """What a client is sent. The event loop iterates over it; another thread supplies it.

    It is supplied only while it is idle, that is when the client has taken what it was given.
    So a slow client takes no more memory than one supply.
    """

    # With __slots__ and without a client's cursor it takes 1 kB less.
    __slots__ = (
        *("reader_id", "cursor", "digest", "is_allowed", "shown", "version", "read_at"),
        *("check_at", "is_due", "is_idle", "loop", "_keeper", "_parts", "_is_over", "_given"),
        *("counted", "end_reason", "__weakref__"),
    )

    def __init__(
        self,
        reader_id: int,
        cursor: Cursor,
        keeper: Keeper,
        *,
        is_allowed: Callable[[], bool],
        digest: str = "",
        counted: Sequence[str] = (),
    ) -> None:
        self.reader_id = reader_id
        self.cursor = cursor
        self.is_allowed = is_allowed  # asks whether the client may still read this timeline
        self.digest = digest  # of the token, if there is one
        self.counted = counted  # the bounds that it counts against
        self.end_reason = CLOSED
        # The supplier's:
        self.shown: list[int] = []  # the last MOST_SHOWN tweets that are still shown
        self.version: int | None = None  # the reader's follows_version when they were checked
        self.read_at = 0.0  # when the timeline has to be read again; monotonic
        self.check_at = 0.0  # when `is_allowed` has to be asked again; monotonic
        self.is_due = False
        # The event loop's:
        self.is_idle = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self._keeper = keeper
        retry = random.randint(*RETRY_MILLISECONDS)  # noqa: S311 (no secret)
        self._parts = [streams.settings(retry_milliseconds=retry, last_id=cursor)]
        self._is_over = False
        self._given: asyncio.Future[None] | None = None

    def __aiter__(self) -> "Stream":
        self.loop = asyncio.get_running_loop()
        self._keeper.add(self)
        return self

    async def __anext__(self) -> bytes:
        if not self._parts and not self._is_over:
            await self._wait()
        if not self._parts:
            raise StopAsyncIteration
        parts, self._parts = self._parts, []
        return b"".join(parts)

    async def _wait(self) -> None:
        assert self.loop
        # Events and timeouts of asyncio would take a quarter of the event loop's time.
        self._given = self.loop.create_future()
        heartbeat = self.loop.call_later(HEARTBEAT_SECONDS, self.give, HEARTBEAT)
        self.is_idle = True
        if self.is_due:
            self._keeper.wake()
        await self._given
        self._given = None
        heartbeat.cancel()

    def give(self, part: bytes, *, is_last: bool = False) -> None:
        """Send this next. Only the event loop calls it."""
        if part:
            self._parts.append(part)
        self._is_over |= is_last
        if self._given and not self._given.done():
            self._given.set_result(None)

    def stop(self) -> None:
        """End it, and tell the client when to come back."""
        retry = random.randint(*RETRY_AFTER_STOP_MILLISECONDS)  # noqa: S311
        self.give(streams.settings(retry_milliseconds=retry), is_last=True)

    def close(self) -> None:
        """End it, without sending anything more."""
        self.give(b"", is_last=True)
        self._keeper.remove(self)

    def advance(self, tweet: DisplayedTweet, low: int) -> Cursor:
        """Return the cursor of the client once it is given the tweet, the lowest that is new to it.

        `low` is the low-water id as of a moment before the tweet was looked for.
        """
        reached = max(self.cursor.low, min(low, tweet.id))
        self.cursor = Cursor.of(reached, [*self.cursor.given, tweet.id])
        self.shown = [*self.shown, tweet.id][-MOST_SHOWN:]
        return self.cursor


def give(gifts: Mapping[Stream, bytes], *, is_last: bool = False) -> None:
    """Hand what the streams are sent next to their event loops. For use in other threads."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Stream, bytes]]] = defaultdict(list)
    for stream, gift in gifts.items():
        stream.is_idle = False
        assert stream.loop
        by_loop[stream.loop].append((stream, gift))

    def hand_over(given: Sequence[tuple[Stream, bytes]]) -> None:
        for stream, gift in given:
            stream.give(gift, is_last=is_last)

    for loop, given in by_loop.items():
        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(hand_over, given)


def end(streams: Iterable[Stream], reason: str) -> None:
    """End the streams. For use in threads other than the event loop's."""
    streams = [*streams]
    for stream in streams:
        stream.end_reason = reason
    give(dict.fromkeys(streams, b""), is_last=True)
