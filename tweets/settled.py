"""Which ids of tweets are settled: every tweet up to there is committed, or never will be.

A trigger gives a transaction its transaction id before it takes a tweet's id from the sequence. A
look reads the sequence first and then the next transaction id that will be assigned. Once all
transactions with lower ids have ended, the ids of tweets up to the look's are settled. The xmax of
a snapshot would not do: it is one more than the highest id that has ended, and transactions with
higher ids may be running.

A statement may also take an id by hand and insert its tweet later. So the settled id waits for ids
without a tweet, although most of them belong to tweets that were deleted soon, or rolled back.
"""

import time
from collections import deque
from functools import cache
from typing import NamedTuple

from backends.postgres import binary_cursor
from backends.refreshed import Refreshed

REFRESH_SECONDS = 0.1
IDLE_SECONDS = 1.0  # after this, the last look says little about the present
MISSING_SECONDS = 60.0  # that an id without a tweet is waited for
MISSING_AMONG = 10_000  # ids, the highest that became settled at the same time

# age() counts from a transaction id to the next one that will be assigned, modulo 2**32. Its
# argument depends on the sequence, so that the sequence is read first. The snapshot is older.
LOOK = """
    SELECT last_value - (NOT is_called)::int,
    age((0 * last_value + 3)::text::xid)::bigint + 3,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    FROM tweets_tweet_id_seq
"""
# The lowest id with $1 < id <= $2 that no tweet has, or null.
MISSING = """
    SELECT previous + 1 FROM (
        SELECT id, lag(id, 1, $1::bigint) OVER (ORDER BY id) AS previous FROM (
            SELECT id FROM tweets_tweet WHERE id > $1 AND id <= $2 UNION ALL SELECT $2 + 1
        ) AS known
    ) AS pair
    WHERE id > previous + 1
    ORDER BY id LIMIT 1
"""


class Look(NamedTuple):
    """What a statement saw."""

    last_id: int  # of the sequence
    next_xid: int  # as it was after that
    oldest_xid: int  # all lower ones had ended before that


class Missing(NamedTuple):
    """An id without a tweet, and until when it is waited for, by time.monotonic()."""

    id: int
    until: float


class Settled:
    """The highest settled id that this process knows of."""

    def __init__(self) -> None:
        self._id = 0
        self._waiting: Look | None = None
        self._looked_at = 0.0
        self._missing: deque[Missing] = deque()

    def look(self) -> int:
        """Return the highest settled id, below all ids that are waited for."""
        now = time.monotonic()
        if now - self._looked_at > IDLE_SECONDS:
            self._take(_look(), now)
        self._take(_look(), now)
        self._looked_at = now
        while self._missing and self._missing[0].until < now:
            self._missing.popleft()
        return self._missing[0].id - 1 if self._missing else self._id

    def _take(self, look: Look, now: float) -> None:
        if self._waiting is None:
            self._waiting = look
        elif look.last_id < self._waiting.last_id:  # Postgres was restored, or a standby promoted
            self._id, self._waiting = 0, look
            self._missing.clear()
        elif look.oldest_xid >= self._waiting.next_xid:
            above, self._id = self._id, self._waiting.last_id
            self._waiting = look
            if above and (missing := _first_missing(above, self._id)):
                self._missing.append(Missing(missing, now + MISSING_SECONDS))


def _look() -> Look:
    with binary_cursor() as cursor:
        [(last_id, next_xid, oldest_xid, xmax)] = cursor.execute(LOOK).fetchall()
    # xmax has more than 32 bits, and the next transaction id is not lower.
    return Look(last_id, xmax + (next_xid - xmax) % 2**32, oldest_xid)


def _first_missing(above: int, up_to: int) -> int | None:
    if above == up_to:
        return None
    with binary_cursor() as cursor:
        cursor.execute(MISSING, [max(above, up_to - MISSING_AMONG), up_to])
        row = cursor.fetchone()
    return row[0] if row else None


@cache
def settled() -> Refreshed[int]:
    """Return this process's highest settled id. An older value is lower, and therefore safe."""
    return Refreshed(Settled().look, first=0, seconds=REFRESH_SECONDS)
