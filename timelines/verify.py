"""Home timelines in Redis held against Postgres."""

from typing import NamedTuple

from django.db import connection

from timelines import store

# What a believed list must hold: delivered tweets above its floor. And the reader's version, in
# the same snapshot.
DELIVERED = """
    SELECT reader.follows_version, tweet.id
    FROM users_user AS reader
    LEFT JOIN (
        users_follow AS follow
        JOIN tweets_tweet AS tweet ON tweet.author_id = follow.followed_id AND tweet.id > %(floor)s
    ) ON follow.follower_id = reader.id
    AND NOT EXISTS (SELECT FROM timelines_fanout AS pending WHERE pending.tweet_id = tweet.id)
    WHERE reader.id = %(reader_id)s
"""
# What a list may hold: anything else only costs memory.
SHOWABLE = """
    SELECT tweet.id
    FROM tweets_tweet AS tweet
    JOIN users_follow AS follow ON follow.followed_id = tweet.author_id
    WHERE follow.follower_id = %(reader_id)s AND tweet.id = ANY(%(tweet_ids)s)
"""


class Finding(NamedTuple):
    """One reader's list against Postgres."""

    is_believed: bool
    entries: int = 0
    missing: frozenset[int] = frozenset()  # delivered, above the floor, and not in the list
    surplus: frozenset[int] = frozenset()  # in the list, but never to be shown
    memory_bytes: int = 0

    @property
    def is_wrong(self) -> bool:
        """Whether readers miss something: a list that is not believed misleads nobody."""
        return self.is_believed and bool(self.missing)


def verify(reader_id: int) -> Finding | None:
    """What is to be said of the reader's list; None if it is not materialised.

    The service may go on meanwhile. What was delivered before Postgres was asked is in a list
    that is read afterwards; so the list is read a second time, and what it gained or lost between
    is no difference.
    """
    before = store.read(reader_id, renew=False)
    if before is None:
        return None
    if before.version is None or not before.is_same_server:
        return Finding(is_believed=False, entries=len(before.tweet_ids))
    version, delivered = _delivered(reader_id, before.floor)
    listed = store.read(reader_id, renew=False)
    if listed is None:
        return None
    held = set(listed.tweet_ids)
    missing = {tweet_id for tweet_id in delivered - held if tweet_id > listed.floor}
    if missing:  # deleted meanwhile?
        missing &= _showable(reader_id, missing)
    return Finding(
        is_believed=version is not None and listed.is_believed(version),
        entries=len(held),
        missing=frozenset(missing),
        surplus=frozenset(held - _showable(reader_id, held)),
        memory_bytes=store.memory_bytes(reader_id),
    )


def _delivered(reader_id: int, floor: int) -> tuple[int | None, set[int]]:
    with connection.cursor() as cursor:
        cursor.execute(DELIVERED, {"reader_id": reader_id, "floor": floor})
        rows = cursor.fetchall()
    version = rows[0][0] if rows else None
    return version, {tweet_id for _, tweet_id in rows if tweet_id is not None}


def _showable(reader_id: int, tweet_ids: set[int]) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(SHOWABLE, {"reader_id": reader_id, "tweet_ids": list(tweet_ids)})
        return {tweet_id for (tweet_id,) in cursor.fetchall()}
