"""Rounds over the outbox: claim, read followers, push or retract, finish."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from django.db import transaction

from timelines import store
from timelines.entries import Entry
from timelines.models import FanOut
from timelines.packing import Change
from users.postgres import binary_cursor

# A round's bounds: some 0.2 s of work, shared evenly by the rows it claims.
ROUND_ROWS = 200
ROUND_FOLLOWERS = 65_536
# What a row waits after its first failure in a row, its second, and so on; the last for good.
PAUSES_SECONDS = (1, 5, 30, 120, 600)

# $1: rows at most, $2: followers in all. Longest untouched first. Rows of one tweet keep their
# order: a row waits for the tweet's earlier ones, so that a retraction never overtakes a delivery,
# nor the other way round where an id is used again.
CLAIM = """
    WITH claimed AS MATERIALIZED (
        SELECT * FROM timelines_fanout AS turn
        WHERE next_attempt_at <= statement_timestamp()
        AND NOT EXISTS (
            SELECT FROM timelines_fanout AS earlier
            WHERE earlier.tweet_id = turn.tweet_id AND earlier.id < turn.id
        )
        ORDER BY next_attempt_at, id
        LIMIT $1
        FOR UPDATE SKIP LOCKED
    ), share AS (
        SELECT greatest(1, $2 / greatest(1, count(*))) AS size FROM claimed
    )
    SELECT id, kind, tweet_id, author_id, attempts, batch.size, coalesce(follower_ids, '{}')
    FROM share, claimed
    CROSS JOIN LATERAL (
        -- To search a list takes some four times as long as to push onto it.
        SELECT CASE kind WHEN 'retract' THEN greatest(1, share.size / 4) ELSE share.size END AS size
    ) AS batch
    CROSS JOIN LATERAL (
        SELECT array_agg(follower_id ORDER BY follower_id) AS follower_ids
        FROM (
            SELECT follower_id FROM users_follow
            WHERE followed_id = claimed.author_id AND follower_id > claimed.after_follower_id
            ORDER BY follower_id
            LIMIT batch.size
        ) AS follower
    ) AS followers
    ORDER BY next_attempt_at, id
"""
DELETE = "DELETE FROM timelines_fanout WHERE id = ANY($1)"
MOVE_ON = """
    UPDATE timelines_fanout AS row
    SET after_follower_id = done.up_to, next_attempt_at = clock_timestamp(),
        attempts = 0, last_error = ''
    FROM unnest($1::bigint[], $2::bigint[]) AS done (id, up_to)
    WHERE row.id = done.id
"""
PAUSE = """
    UPDATE timelines_fanout
    SET attempts = attempts + 1, last_error = $1,
        next_attempt_at = clock_timestamp() + $2 * interval '1 second'
    WHERE id = $3
"""


class Cursor(Protocol):
    """As much of a database cursor as a round needs."""

    def execute(self, query: str, params: Any = None, /) -> Any:
        """Run one statement."""

    def fetchall(self) -> list[Any]:
        """The rows it gave."""


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


class Round(NamedTuple):
    """What a round did: rows claimed, rows done with, lists reached, rows that failed."""

    claimed: int = 0
    finished: int = 0
    reached: int = 0
    failed: int = 0

    def plus(self, other: "Round") -> "Round":
        """Both together."""
        return Round(*(a + b for a, b in zip(self, other, strict=True)))


def run_round(rows: int = ROUND_ROWS, followers: int = ROUND_FOLLOWERS) -> Round:
    """One round, in one transaction; a worker that dies in it loses the round, not the rows.

    Raises timelines.server.Unavailable, all rows left pending, when Redis is away.
    """
    with transaction.atomic(), binary_cursor() as cursor:
        claims = claim(cursor, rows, followers)
        results = push(claims)
        return finish(cursor, claims, results)


def drain(seconds: float) -> bool:
    """Rounds until nothing is left to claim, or the time is up; True if there may be more."""
    deadline = time.monotonic() + seconds
    while run_round().claimed:
        if time.monotonic() > deadline:
            return True
    return False


def claim(cursor: Cursor, rows: int, followers: int) -> list[Claim]:
    """Lock the rows whose turn it is, at most `rows`, and read followers, some `followers` in all.

    Rows that another worker has locked are passed over.
    """
    cursor.execute(CLAIM, [rows, followers])
    return [Claim(*row) for row in cursor.fetchall()]


def push(claims: Sequence[Claim]) -> list[int | Exception]:
    """Bring every claim's batch to the lists; for each the lists reached, or what was wrong."""
    return store.apply(
        [
            Change(
                Entry(claimed.tweet_id, claimed.author_id),
                claimed.follower_ids,
                is_retraction=claimed.kind == FanOut.Kind.RETRACT,
            )
            for claimed in claims
        ]
    )


def finish(cursor: Cursor, claims: Sequence[Claim], results: Sequence[int | Exception]) -> Round:
    """Delete the rows that are done, move the others on, put off those that failed."""
    done: list[int] = []
    moved: dict[int, int] = {}
    failed = 0
    for claimed, result in zip(claims, results, strict=True):
        if isinstance(result, Exception):
            pause = PAUSES_SECONDS[min(claimed.attempts, len(PAUSES_SECONDS) - 1)]
            cursor.execute(PAUSE, [f"{type(result).__name__}: {result}", pause, claimed.id])
            failed += 1
        elif claimed.is_last:
            done.append(claimed.id)
        else:
            moved[claimed.id] = claimed.follower_ids[-1]
    if done:
        cursor.execute(DELETE, [done])
    if moved:
        cursor.execute(MOVE_ON, [list(moved), list(moved.values())])
    reached = sum(result for result in results if isinstance(result, int))
    return Round(len(claims), len(done), reached, failed)
