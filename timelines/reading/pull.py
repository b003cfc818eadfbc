"""Home timelines straight from Postgres: a page, and the snapshot that a list is built from."""

from typing import NamedTuple

from psycopg.rows import TupleRow

from api.fields import MAX_ID
from api.paging import Page, Window
from backends.postgres import binary_cursor
from timelines.lists import admission, store
from timelines.lists.entries import Entry
from timelines.lists.listed import Listed, Source
from tweets.displayed import COLUMNS, DisplayedTweet
from users.models import User

REBUILDS_AT_ONCE = 16  # snapshots for rebuilds, of all processes
PERMITS = 731_455  # the first key of their advisory locks: arbitrary, but nothing else may use it

# $1: the reader, $2: max_id, $3: since_id, $4: limit.
# Finds the newest `limit` tweets of the followed accounts within the bounds. One probe per account
# finds its newest tweet. The newest `limit` of these tweets could fill the page by themselves, so
# only their accounts are read, and only down to the oldest of these tweets. With 3,000 follows and
# 1,000,000 tweets a page of 20 takes 16 ms; reading 20 tweets of each account takes 57 ms.
# The same finds the lowest tweets, upwards.
_FIRST = """
    active AS MATERIALIZED (
        SELECT follow.followed_id, first.id AS first_id
        FROM users_follow AS follow
        CROSS JOIN LATERAL (
            SELECT id FROM tweets_tweet
            WHERE author_id = follow.followed_id AND id < $2 AND id > $3
            ORDER BY id {order} LIMIT 1
        ) AS first
        WHERE follow.follower_id = $1 {condition}
        ORDER BY first.id {order} LIMIT $4
    ), entry AS (
        SELECT found.id, found.author_id
        FROM active
        CROSS JOIN LATERAL (
            SELECT id, author_id FROM tweets_tweet
            WHERE author_id = active.followed_id AND id < $2 AND id > $3
            AND id {within} (
                SELECT CASE WHEN count(*) < $4 THEN {end} ELSE {last}(first_id) END FROM active
            )
            ORDER BY id {order} LIMIT $4
        ) AS found
        ORDER BY found.id {order} LIMIT $4
    )
"""
_DOWN = {"order": "DESC", "within": ">=", "end": 0, "last": "min"}
_UP = {"order": "ASC", "within": "<=", "end": MAX_ID, "last": "max"}


def _page(direction: dict[str, object]) -> str:
    return f"""
        WITH {_FIRST.format(condition="", **direction)}
        SELECT {COLUMNS}
        FROM entry
        JOIN tweets_tweet AS tweet ON tweet.id = entry.id
        JOIN users_user AS author ON author.id = entry.author_id
        ORDER BY tweet.id DESC
    """  # noqa: S608 (joined from constants)


PAGE, NEW = _page(_DOWN), _page(_UP)
# $5: the list's slot, $6: the identity of the server that it is rebuilt at. Version, generation and
# entries must come from one statement, which is one snapshot. Without a permit it reads no tweets:
# if another server is admitted, or if REBUILDS_AT_ONCE other statements like this one are running.
# The permit is a lock, which ends with the statement. If a node is lost, thousands of readers want
# a new list at once, and their snapshots must not hold up everybody else's statements.
SNAPSHOT = f"""
    WITH admitted AS MATERIALIZED (
        SELECT {admission.generation("$5", "$6")} AS generation
    ), permit AS MATERIALIZED (
        SELECT true FROM generate_series(1, {REBUILDS_AT_ONCE}) AS number
        WHERE (SELECT generation FROM admitted) IS NOT NULL
        AND pg_try_advisory_xact_lock({PERMITS}, number)
        LIMIT 1
    ), {_FIRST.format(condition="AND (SELECT true FROM permit)", **_DOWN)}
    SELECT reader.follows_version,
    CASE WHEN (SELECT true FROM permit) THEN (SELECT generation FROM admitted) END,
    entry.id, entry.author_id
    FROM users_user AS reader LEFT JOIN entry ON true
    WHERE reader.id = $1
    ORDER BY entry.id DESC
"""  # noqa: S608


class Snapshot(NamedTuple):
    """The newest part of a home timeline at one moment, complete for ids above the floor."""

    version: int
    generation: int
    floor: int
    entries: list[Entry]  # newest first

    def listed(self, source: Source) -> Listed:
        """Return the snapshot in the form of a list that is read from Redis."""
        ids = [entry.tweet_id for entry in reversed(self.entries)]
        return Listed(ids, self.version, self.generation, self.floor, is_whole=True, source=source)


def page(reader_id: int, window: Window) -> Page[DisplayedTweet]:
    """Return the page of the home timeline that the window asks for."""
    rows = _execute(NEW if window.after else PAGE, reader_id, window, window.rows)
    return window.page([DisplayedTweet._make(row) for row in rows])


def snapshot(reader_id: int, source: Source) -> Snapshot | None:
    """Return as much of the reader's home timeline as a list holds.

    Return None if the source is not the admitted server, or if too many snapshots are being taken.
    Raises User.DoesNotExist.
    """
    most = store.most_entries()
    rows = _execute(SNAPSHOT, reader_id, Window(), most + 1, *source)
    if not rows:
        raise User.DoesNotExist
    version, generation, *_ = rows[0]
    if generation is None:
        return None
    entries = [Entry(*row) for _, _, *row in rows if row[0] is not None]
    kept = entries[:most]
    floor = kept[-1].tweet_id - 1 if len(entries) > most else 0
    return Snapshot(version, generation, floor, kept)


def _execute(
    query: str, reader_id: int, window: Window, limit: int, *others: int | str
) -> list[TupleRow]:
    with binary_cursor() as cursor:
        cursor.execute(query, [reader_id, window.max_id, window.since_id, limit, *others])
        return cursor.fetchall()
