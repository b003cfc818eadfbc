"""Comparing the lists in Redis with Postgres."""

from typing import NamedTuple

from django.db import connection

from timelines.lists import store
from tweets.models import Tweet

# The delivered tweets above a floor, which a believed list must hold, and the reader's version in
# the same snapshot.
DELIVERED = """
    SELECT reader.follows_version, tweet.id
    FROM users_user AS reader
    LEFT JOIN (
        users_follow AS follow
        JOIN tweets_tweet AS tweet ON tweet.author_id = follow.followed_id AND tweet.id > %(floor)s
    ) ON follow.follower_id = reader.id
    AND (
        SELECT true FROM timelines_fanout AS pending WHERE pending.tweet_id = tweet.id LIMIT 1
    ) IS NULL
    WHERE reader.id = %(reader_id)s
"""


class Finding(NamedTuple):
    """The differences between one reader's list and Postgres."""

    is_believed: bool
    entries: int = 0
    missing: frozenset[int] = frozenset()  # delivered and above the floor, but not in the list
    surplus: frozenset[int] = frozenset()  # in the list, but never shown
    memory_bytes: int = 0

    @property
    def is_wrong(self) -> bool:
        """Whether readers miss something. They never see a list that is not believed."""
        return self.is_believed and bool(self.missing)


def verify(reader_id: int) -> Finding | None:
    """Compare the reader's list with Postgres. None if either key is absent.

    The service may keep running, so the list is read twice. The first read gives the floor for the
    query. A tweet that was delivered before the query must be in the second read, unless it was
    deleted or is now below the floor. Raises Unavailable.
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
    if missing:  # some may have been deleted meanwhile
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
    """Return those of the tweets that belong to the timeline. Other entries only cost memory."""
    followed = Tweet.objects.filter(author__followed_by__follower=reader_id)
    return set(followed.filter(pk__in=tweet_ids).values_list("id", flat=True))
