"""Home timelines from Postgres."""

from django.conf import settings
from django.db import connection

from timelines import store
from timelines.entries import Entry
from timelines.store import Listed
from tweets.paging import Window
from users.models import User

# For each followed account the newest tweets in the window, by the index of its user timeline;
# of all those, the newest.
_NEWEST = """
    SELECT tweet.id, tweet.author_id
    FROM users_follow AS follow
    CROSS JOIN LATERAL (
        SELECT id, author_id FROM tweets_tweet
        WHERE author_id = follow.followed_id AND id < %(max_id)s AND id > %(since_id)s
        ORDER BY id DESC
        LIMIT %(limit)s
    ) AS tweet
    WHERE follow.follower_id = %(reader_id)s
    ORDER BY tweet.id DESC
    LIMIT %(limit)s
"""
_ABOVE_ALL_IDS = 2**63 - 1


def read(reader_id: int, window: Window) -> list[Entry]:
    """The newest `window.limit` entries of the reader's home timeline, from Postgres alone."""
    with connection.cursor() as cursor:
        cursor.execute(
            _NEWEST,
            {
                "reader_id": reader_id,
                "max_id": _ABOVE_ALL_IDS if window.max_id is None else window.max_id,
                "since_id": window.since_id or 0,
                "limit": window.limit,
            },
        )
        return [Entry(*row) for row in cursor.fetchall()]


def rebuild(reader_id: int) -> Listed:
    """Compute the reader's home timeline and store it; returns what was stored.

    Raises User.DoesNotExist rather than keep a list for nobody.
    """
    User.objects.only("id").get(pk=reader_id)
    cap = settings.HOME_TIMELINE_CAP
    entries = read(reader_id, Window(limit=cap + 1))
    kept, is_whole = entries[:cap], len(entries) <= cap
    store.replace(reader_id, kept, is_whole=is_whole)
    return Listed([entry.tweet_id for entry in kept], is_whole)
