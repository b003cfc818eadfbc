"""Flags: slow deliveries. Pages show their tweets until 5 s after they are done."""

from collections.abc import Sequence

from django.db import transaction
from psycopg import RawCursor
from psycopg.rows import TupleRow

from api.fields import MAX_ID
from backends.postgres import binary_cursor
from timelines.delivery import front
from timelines.delivery.claims import SETTINGS, Claim
from timelines.models import FanOut, Flag

LATE_SECONDS = 1  # after its tweet was stored, a pending delivery is late
LOOKED_AT = 10_000  # rows of the outbox in which a sweep looks for late deliveries
RAISED_AT_ONCE = 50  # flags; sweeps raise the rest

_FIRST = f"""(
    SELECT tweet_id, kind, created_at FROM timelines_fanout
    WHERE {{which}} AND next_attempt_at >= $1
    ORDER BY next_attempt_at, id LIMIT {LOOKED_AT}
)"""  # noqa: S608 (joined from constants)
# $1: tweets with many followers left, $2: others, which leave MOST_RESERVED flags to those. The
# author is the tweet's own: it may have changed since the delivery was queued. If a flag is done,
# it is raised again. This happens if the id was reused or the author changed. All rows are locked
# in the order of their ids.
RAISE = f"""
    WITH up AS MATERIALIZED (SELECT count(*) AS flags FROM timelines_flag)
    INSERT INTO timelines_flag (tweet_id, author_id)
    SELECT tweet.id, tweet.author_id
    FROM tweets_tweet AS tweet, up
    WHERE tweet.id = ANY($1::bigint[] || CASE
        WHEN flags < {Flag.MOST - Flag.MOST_RESERVED} THEN $2::bigint[] ELSE '{{}}' END
    )
    ORDER BY tweet.id
    LIMIT greatest(0, least({RAISED_AT_ONCE}, {Flag.MOST} - (SELECT flags FROM up)))
    ON CONFLICT (tweet_id) DO UPDATE
    SET author_id = EXCLUDED.author_id, raised_at = EXCLUDED.raised_at, done_at = NULL
    WHERE timelines_flag.done_at IS NOT NULL OR timelines_flag.author_id <> EXCLUDED.author_id
"""  # noqa: S608 (joined from constants)
# $1: where to start. Only the rows that have been due longest, so a backlog does not make it slow.
LATE = f"""
    SELECT DISTINCT tweet_id
    FROM (
        {_FIRST.format(which=f"up_to_follower_id = {MAX_ID}")}
        UNION ALL {_FIRST.format(which=f"up_to_follower_id < {MAX_ID}")}
    ) AS row
    WHERE kind = 'deliver' AND created_at < statement_timestamp() - interval '{LATE_SECONDS} s'
    AND (
        SELECT author_id FROM timelines_flag AS flag
        WHERE flag.tweet_id = row.tweet_id AND flag.done_at IS NULL
    ) IS DISTINCT FROM (SELECT author_id FROM tweets_tweet WHERE id = row.tweet_id)
    LIMIT {Flag.MOST}
"""  # noqa: S608
# DONE and CLEAR skip rows that are locked, so that they never wait.
# A time after the delivery's true end is safe: the flag then stays up a little longer.
DONE = """
    UPDATE timelines_flag SET done_at = clock_timestamp()
    WHERE tweet_id = ANY(ARRAY(
        SELECT tweet_id FROM timelines_flag AS flag
        WHERE done_at IS NULL AND (
            SELECT true FROM timelines_fanout AS row
            WHERE row.tweet_id = flag.tweet_id AND row.kind = 'deliver' LIMIT 1
        ) IS NULL
        FOR UPDATE SKIP LOCKED
    ))
"""
# A `done_at` in the future means that Postgres's clock was set back.
CLEAR = f"""
    DELETE FROM timelines_flag
    WHERE tweet_id = ANY(ARRAY(
        SELECT tweet_id FROM timelines_flag AS flag
        WHERE done_at NOT BETWEEN
            clock_timestamp() - interval '{Flag.LINGER_SECONDS} seconds'
            AND clock_timestamp() + interval '{Flag.LINGER_SECONDS} seconds'
        OR (SELECT true FROM tweets_tweet WHERE id = flag.tweet_id) IS NULL
        FOR UPDATE SKIP LOCKED
    ))
"""  # noqa: S608
# Sweeps take turns at looking for late deliveries. The number is arbitrary, but nothing else may
# use it.
LOCK = "SELECT pg_try_advisory_xact_lock(7314552861)"


def raise_for(cursor: RawCursor[TupleRow], long: Sequence[Claim], failed: Sequence[Claim]) -> None:
    """Flag the deliveries among the claims, if there are not too many flags.

    A transaction may do this once, as its last step: the rows are locked in order.
    """
    _raise(cursor, _tweet_ids(long), _tweet_ids(failed))


def raise_after_failure(claims: Sequence[Claim]) -> None:
    """Flag the deliveries of a round that was rolled back."""
    with transaction.atomic(), binary_cursor() as cursor:
        raise_for(cursor, [], claims)


def sweep() -> None:
    """Flag deliveries that are late, and take down the flags of those that are done."""
    with transaction.atomic(), binary_cursor() as cursor:
        cursor.execute(SETTINGS)
        cursor.execute(DONE)
        cursor.execute(CLEAR)
    with transaction.atomic(), binary_cursor() as cursor:
        if cursor.execute(LOCK).fetchone() == (True,):
            cursor.execute(SETTINGS)
            cursor.execute(LATE, [front.start(cursor)])
            _raise(cursor, [], [tweet_id for (tweet_id,) in cursor.fetchall()])


def _tweet_ids(claims: Sequence[Claim]) -> list[int]:
    return [claim.tweet_id for claim in claims if claim.kind == FanOut.Kind.DELIVER]


def _raise(cursor: RawCursor[TupleRow], long: list[int], others: list[int]) -> None:
    if long or others:
        cursor.execute(RAISE, [long, others])
