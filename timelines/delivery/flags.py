"""Flags: slow deliveries. Until 5 s after they are done, pages show their tweets."""

from collections.abc import Sequence

from django.db import transaction
from psycopg import RawCursor
from psycopg.rows import TupleRow

from api.fields import MAX_ID
from backends.postgres import binary_cursor
from timelines.delivery import front
from timelines.delivery.claims import ALWAYS_BY_INDEX, Claim
from timelines.models import FanOut, Flag

LATE_SECONDS = 1  # after its tweet was stored, a pending delivery is late
LOOKED_AT = 1_000  # rows of the outbox in which a sweep looks for late deliveries

_FIRST = f"""(
    SELECT tweet_id, author_id, kind, created_at FROM timelines_fanout
    WHERE {{which}} AND next_attempt_at >= $1
    ORDER BY next_attempt_at, id LIMIT {LOOKED_AT}
)"""  # noqa: S608 (joined from constants)
# $1: tweet ids, $2: their authors. If a flag is done, it is raised again. This
# happens if the id was reused or the tweet's author changed.
RAISE = f"""
    INSERT INTO timelines_flag (tweet_id, author_id)
    SELECT DISTINCT ON (tweet_id) tweet_id, author_id
    FROM unnest($1::bigint[], $2::bigint[]) AS late (tweet_id, author_id)
    ORDER BY tweet_id
    LIMIT greatest(0, {Flag.MOST} - (SELECT count(*) FROM timelines_flag))
    ON CONFLICT (tweet_id) DO UPDATE
    SET author_id = EXCLUDED.author_id, raised_at = EXCLUDED.raised_at, done_at = NULL
    WHERE timelines_flag.done_at IS NOT NULL
"""  # noqa: S608 (joined from constants)
# $1: where to start. Only the rows that have been due longest, so a backlog does not make it slow.
LATE = f"""
    SELECT DISTINCT tweet_id, author_id
    FROM (
        {_FIRST.format(which=f"up_to_follower_id = {MAX_ID}")}
        UNION ALL {_FIRST.format(which=f"up_to_follower_id < {MAX_ID}")}
    ) AS row
    WHERE kind = 'deliver' AND created_at < statement_timestamp() - interval '{LATE_SECONDS} s'
    AND (SELECT true FROM tweets_tweet WHERE id = row.tweet_id)
    AND NOT EXISTS (
        SELECT FROM timelines_flag AS flag
        WHERE flag.tweet_id = row.tweet_id AND flag.done_at IS NULL
    )
"""  # noqa: S608
# A time after the delivery's true end is safe: the flag then stays up a little longer.
DONE = """
    UPDATE timelines_flag AS flag SET done_at = clock_timestamp()
    WHERE done_at IS NULL AND (
        SELECT true FROM timelines_fanout AS row
        WHERE row.tweet_id = flag.tweet_id AND row.kind = 'deliver' LIMIT 1
    ) IS NULL
"""
CLEAR = f"""
    DELETE FROM timelines_flag AS flag
    WHERE done_at < clock_timestamp() - interval '{Flag.LINGER_SECONDS} seconds'
    OR NOT EXISTS (SELECT FROM tweets_tweet WHERE id = flag.tweet_id)
"""  # noqa: S608
# Only one worker at a time raises many flags, so that they keep to Flag.MOST; others skip it. The
# number is arbitrary, but nothing else may use it.
LOCK = "SELECT pg_try_advisory_xact_lock(7314552861)"


def raise_for(cursor: RawCursor[TupleRow], claims: Sequence[Claim]) -> None:
    """Flag the deliveries among the claims, as long as there are fewer than Flag.MOST flags."""
    late = [(c.tweet_id, c.author_id) for c in claims if c.kind == FanOut.Kind.DELIVER]
    _raise(cursor, late)


def raise_after_failure(claims: Sequence[Claim]) -> None:
    """Flag the deliveries of a round that was rolled back."""
    with transaction.atomic(), binary_cursor() as cursor:
        if _is_alone(cursor):
            raise_for(cursor, claims)


def sweep() -> None:
    """Flag deliveries that are late, and take down the flags of those that are done."""
    with transaction.atomic(), binary_cursor() as cursor:
        cursor.execute(ALWAYS_BY_INDEX)
        cursor.execute(DONE)
        cursor.execute(CLEAR)
        cursor.execute(LATE, [front.start(cursor)])
        late = cursor.fetchall()
        if late and _is_alone(cursor):
            _raise(cursor, late)


def _is_alone(cursor: RawCursor[TupleRow]) -> bool:
    """Return whether no other worker is raising many flags. If one is, this one can skip it."""
    return cursor.execute(LOCK).fetchone() == (True,)


def _raise(cursor: RawCursor[TupleRow], late: Sequence[Sequence[int]]) -> None:
    if late:
        cursor.execute(RAISE, [[tweet_id for tweet_id, _ in late], [author for _, author in late]])
