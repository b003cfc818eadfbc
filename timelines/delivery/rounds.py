"""Rounds over the outbox: claim rows, read their followers, push or retract, finish."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from django.db import transaction
from psycopg import RawCursor
from psycopg.rows import TupleRow

from backends.postgres import binary_cursor
from timelines.lists import changes
from timelines.lists.changes import Change, Outcome
from timelines.lists.entries import Entry
from timelines.models import FanOut

# A round is limited to about 0.2 s of work, shared evenly by the rows that it claims.
ROUND_ROWS = 200
ROUND_FOLLOWERS = 65_536
# How long a row waits after its first, second, ... consecutive failure. The last one repeats.
PAUSES_SECONDS = (1, 5, 30, 120, 600)

# $1: maximum number of rows, $2: number of followers in all. The row that has been due longest
# comes first. A row waits for earlier rows of its tweet: a retraction never overtakes a delivery,
# and if an id is reused, the new delivery never overtakes the old retraction.
CLAIM = """
    WITH claimed AS MATERIALIZED (
        SELECT * FROM timelines_fanout AS turn
        WHERE next_attempt_at <= statement_timestamp()
        AND NOT EXISTS (
            SELECT FROM timelines_fanout AS earlier
            WHERE earlier.tweet_id = turn.tweet_id AND earlier.id < turn.id
        )
        ORDER BY next_attempt_at, id
        LIMIT $1 FOR UPDATE SKIP LOCKED
    ), share AS (
        SELECT greatest(1, $2 / greatest(1, count(*))) AS size FROM claimed
    )
    SELECT id, kind, tweet_id, author_id, attempts, batch.size, ARRAY(
        SELECT follower_id FROM users_follow
        WHERE followed_id = claimed.author_id AND follower_id > claimed.after_follower_id
        ORDER BY follower_id LIMIT batch.size
    )
    FROM share, claimed
    CROSS JOIN LATERAL (
        -- Searching a list takes about four times as long as pushing onto it.
        SELECT CASE kind WHEN 'retract' THEN greatest(1, share.size / 4) ELSE share.size END AS size
    ) AS batch
    ORDER BY next_attempt_at, id
"""
DELETE = "DELETE FROM timelines_fanout WHERE id = ANY($1)"
MOVE_ON = """
    UPDATE timelines_fanout AS row
    SET after_follower_id = done.up_to, next_attempt_at = clock_timestamp(),
        attempts = 0, last_error = ''
    FROM unnest($1::bigint[], $2::bigint[]) AS done (id, up_to) WHERE row.id = done.id
"""
PAUSE = """
    UPDATE timelines_fanout
    SET attempts = attempts + 1, last_error = $1,
        next_attempt_at = clock_timestamp() + $2 * interval '1 second'
    WHERE id = $3
"""


class Claim(NamedTuple):
    """One claimed row with its next batch of followers, ascending, at most `size`."""

    id: int
    kind: str
    tweet_id: int
    author_id: int
    attempts: int
    size: int
    follower_ids: list[int]

    @property
    def is_last(self) -> bool:
        """Whether no follower is left after this batch."""
        return len(self.follower_ids) < self.size

    @property
    def change(self) -> Change:
        """The change to the lists of this batch."""
        entry = Entry(self.tweet_id, self.author_id)
        return Change(entry, self.follower_ids, self.kind == FanOut.Kind.RETRACT)


class Round(NamedTuple):
    """What a round did: rows claimed, rows finished, lists reached, rows that failed."""

    claimed: int = 0
    finished: int = 0
    reached: int = 0
    failed: int = 0


def run_round(rows: int = ROUND_ROWS, followers: int = ROUND_FOLLOWERS) -> Round:
    """Run one round in one transaction. A worker that dies in it loses the round, not the rows."""
    with transaction.atomic(), binary_cursor() as cursor:
        claims = claim(cursor, rows, followers)
        if not claims:
            return Round()
        outcomes = changes.apply([claimed.change for claimed in claims])
        return finish(cursor, claims, outcomes)


def drain(seconds: float) -> bool:
    """Run rounds until nothing is due or the time is up. Return whether there may be more."""
    deadline = time.monotonic() + seconds
    while run_round().claimed:
        if time.monotonic() > deadline:
            return True
    return False


def claim(cursor: RawCursor[TupleRow], rows: int, followers: int) -> list[Claim]:
    """Lock due rows that no other worker holds, and read about `followers` followers."""
    cursor.execute(CLAIM, [rows, followers])
    return [Claim(*row) for row in cursor.fetchall()]


def finish(
    cursor: RawCursor[TupleRow], claims: Sequence[Claim], outcomes: Sequence[Outcome]
) -> Round:
    """Delete the rows that are done, advance the others, and postpone those that failed."""
    done: list[int] = []
    moved: dict[int, int] = {}
    failed = 0
    for claimed, outcome in zip(claims, outcomes, strict=True):
        if outcome.error:
            pause = PAUSES_SECONDS[min(claimed.attempts, len(PAUSES_SECONDS) - 1)]
            cursor.execute(PAUSE, [outcome.error, pause, claimed.id])
            failed += 1
        elif claimed.is_last:
            done.append(claimed.id)
        else:
            moved[claimed.id] = claimed.follower_ids[-1]
    if done:
        cursor.execute(DELETE, [done])
    if moved:
        cursor.execute(MOVE_ON, [list(moved), list(moved.values())])
    reached = sum(outcome.reached for outcome in outcomes if not outcome.error)
    return Round(len(claims), len(done), reached, failed)
