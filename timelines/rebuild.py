"""Home timelines from Postgres: a page of one, and the whole that a list is built from."""

from typing import Any, NamedTuple

from django.conf import settings

from timelines import store
from timelines.entries import ABOVE_ALL_IDS, Entry
from tweets.paging import Window
from tweets.serializers import DisplayedTweet, displayed
from users.models import User
from users.postgres import binary_cursor

# $1: the reader, $2: max_id, $3: since_id, $4: limit.
# The newest `limit` tweets of the followed accounts within the bounds. Only the `limit` accounts
# whose newest tweet is newest can have a tweet among them: each account before them has at least
# one tweet that is newer. So one probe an account finds those, and only theirs are read on, down
# to the last one's newest. With 3,000 follows and 1,000,000 tweets a page of 20 takes 16 ms;
# reading 20 of each account, 57 ms.
_NEWEST = """
    WITH active AS MATERIALIZED (
        SELECT follow.followed_id, newest.id AS newest_id
        FROM users_follow AS follow
        CROSS JOIN LATERAL (
            SELECT id FROM tweets_tweet
            WHERE author_id = follow.followed_id AND id < $2 AND id > $3
            ORDER BY id DESC LIMIT 1
        ) AS newest
        WHERE follow.follower_id = $1
        ORDER BY newest.id DESC LIMIT $4
    ), tweet AS (
        SELECT entry.id, entry.author_id
        FROM active
        CROSS JOIN LATERAL (
            SELECT id, author_id FROM tweets_tweet
            WHERE author_id = active.followed_id AND id < $2 AND id > $3
            AND id >= (
                SELECT CASE WHEN count(*) < $4 THEN 0 ELSE min(newest_id) END FROM active
            )
            ORDER BY id DESC LIMIT $4
        ) AS entry
        ORDER BY entry.id DESC LIMIT $4
    )
"""
PAGE = f"""{_NEWEST}
    SELECT tweet.id, tweet.author_id, author.username, shown.message, shown.created_at
    FROM tweet
    JOIN tweets_tweet AS shown ON shown.id = tweet.id
    JOIN users_user AS author ON author.id = tweet.author_id
    ORDER BY tweet.id DESC
"""  # noqa: S608 (joined from constants)
# Version and entries in one statement, so in one snapshot.
SNAPSHOT = f"""{_NEWEST}
    SELECT reader.follows_version, tweet.id, tweet.author_id
    FROM users_user AS reader LEFT JOIN tweet ON true
    WHERE reader.id = $1
    ORDER BY tweet.id DESC
"""  # noqa: S608


class Snapshot(NamedTuple):
    """A home timeline as of one moment: complete for ids above the floor."""

    version: int
    floor: int
    entries: list[Entry]


def page(reader_id: int, window: Window) -> list[DisplayedTweet]:
    """The newest tweets of the home timeline within the window, and one more than its limit."""
    rows = _execute(PAGE, reader_id, window, window.limit + 1)
    return [displayed(row) for row in rows]


def read_snapshot(reader_id: int) -> Snapshot:
    """As much of the reader's home timeline as a list keeps. Raises User.DoesNotExist."""
    cap = settings.HOME_TIMELINE_CAP
    rows = _execute(SNAPSHOT, reader_id, Window(), cap + 1)
    if not rows:
        raise User.DoesNotExist
    entries = [Entry(*row) for _, *row in rows if row[0] is not None]
    kept = entries[:cap]
    return Snapshot(
        version=rows[0][0],
        floor=kept[-1].tweet_id - 1 if len(entries) > cap else 0,
        entries=kept,
    )


def rebuild(reader_id: int) -> bool:
    """Store the reader's home timeline anew; False if another rebuild is or came in the way.

    A push that comes between any two of these lines lands in the new list, which exists first.
    Of a reader who does not exist nothing is kept, and the answer is False.
    """
    token = store.begin_rebuild(reader_id)
    if token is None:
        return False
    try:
        version, floor, entries = read_snapshot(reader_id)
    except User.DoesNotExist:
        store.forget([reader_id])
        return False
    return store.finish_rebuild(reader_id, token, version=version, floor=floor, entries=entries)


def _execute(query: str, reader_id: int, window: Window, limit: int) -> list[tuple[Any, ...]]:
    with binary_cursor() as cursor:
        cursor.execute(
            query,
            [
                reader_id,
                ABOVE_ALL_IDS if window.max_id is None else window.max_id,
                window.since_id or 0,
                limit,
            ],
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
