"""The front of the outbox: where claims start to look, so that dead rows before it cost nothing.

Postgres can't remove the dead rows of finished work while an old snapshot is open, for instance
that of a pg_dump. A claim that started at the beginning would step over all of them.
"""

import time
from collections import deque
from datetime import UTC, datetime
from typing import NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from psycopg import RawCursor
from psycopg.rows import TupleRow

from api.fields import MAX_ID

EVER = datetime(2000, 1, 1, tzinfo=UTC)
LOOK_SECONDS = 1.0
# A look from the beginning finds rows whose time is before the front because the server's clock
# was set back.
FULL_LOOK_SECONDS = 60.0
MOST_SAMPLES = 600

# $1: where to start. now() is the time at which the transaction began, before it got its id. The
# subqueries don't skip locked rows. A snapshot's xmax is no substitute for the id: transactions
# with ids from xmax on may be open already.
LOOK = f"""
    SELECT now(), pg_current_xact_id()::text::bigint,
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
    least(
        (
            SELECT min(next_attempt_at) FROM timelines_fanout
            WHERE up_to_follower_id = {MAX_ID} AND next_attempt_at >= $1
        ), (
            SELECT min(next_attempt_at) FROM timelines_fanout
            WHERE up_to_follower_id < {MAX_ID} AND next_attempt_at >= $1
        )
    )
"""  # noqa: S608 (joined from constants)


class Sample(NamedTuple):
    """A moment, and a transaction id that was given after it."""

    at: datetime
    xid: int


class Front:
    """What one connection knows of the front.

    A row's `next_attempt_at` is later than the moment at which its transaction got its id. So once
    all transactions up to a sample's `xid` have ended, every row from before the sample is visible.
    The front may then move up to the sample's moment, or to the first row that is still there if
    that is earlier.
    """

    def __init__(self) -> None:
        self.start = EVER
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self._look_at = self._full_look_at = 0.0  # monotonic times

    def look(self, cursor: RawCursor[TupleRow]) -> None:
        """Every LOOK_SECONDS, move the front up, or back to a row that a full look finds."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        start = self.start
        if now >= self._full_look_at:
            start, self._full_look_at = EVER, now + FULL_LOOK_SECONDS
        cursor.execute(LOOK, [start])
        [(at, xid, oldest_open, first)] = cursor.fetchall()
        if self._samples and at < self._samples[-1].at:  # the clock was set back
            self._samples.clear()
            self.start, first = EVER, EVER
        settled: datetime | None = None
        while self._samples and self._samples[0].xid < oldest_open:
            settled = self._samples.popleft().at
        if settled:
            self.start = min(settled, first or settled)
        elif first:
            self.start = min(self.start, first)
        self._samples.append(Sample(at, xid))


_fronts: WeakKeyDictionary[psycopg.Connection[TupleRow], Front] = WeakKeyDictionary()


def start(cursor: RawCursor[TupleRow]) -> datetime:
    """Return the earliest `next_attempt_at` that this connection has to look for."""
    front = _fronts.setdefault(cursor.connection, Front())
    front.look(cursor)
    return front.start
