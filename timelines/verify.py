"""Comparing the lists in Redis with Postgres."""

from typing import NamedTuple

from django.db import connection

from timelines.lists import admission, store, upkeep
from timelines.lists.listed import Listed
from tweets.models import Tweet

# The delivered tweets above a floor, which a believed list must hold, and the reader's version in
# the same snapshot.
DELIVERED = f"""
    SELECT reader.follows_version, {admission.generation("%(slot)s", "%(identity)s")}, tweet.id
    FROM users_user AS reader
    LEFT JOIN (
        users_follow AS follow
        JOIN tweets_tweet AS tweet ON tweet.author_id = follow.followed_id AND tweet.id > %(floor)s
    ) ON follow.follower_id = reader.id
    AND (
        SELECT true FROM timelines_fanout AS pending WHERE pending.tweet_id = tweet.id LIMIT 1
    ) IS NULL
    WHERE reader.id = %(reader_id)s
"""  # noqa: S608 (joined from constants)


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
    if before.version is None:
        return Finding(is_believed=False, entries=len(before.tweet_ids))
    version, generation, delivered = _delivered(reader_id, before)
    listed = store.read(reader_id, renew=False)
    if listed is None:
        return None
    is_elsewhere = version is not None and generation is None
    if is_elsewhere or listed.source != before.source:
        return Finding(is_believed=False, entries=len(listed.tweet_ids))
    held = set(listed.tweet_ids)
    missing = {tweet_id for tweet_id in delivered - held if tweet_id > listed.floor}
    if missing:  # some may have been deleted meanwhile
        missing &= _showable(reader_id, missing)
    return Finding(
        is_believed=version is not None and listed.is_believed(version, generation),
        entries=len(held),
        missing=frozenset(missing),
        surplus=frozenset(held - _showable(reader_id, held)),
        memory_bytes=upkeep.memory_bytes(reader_id),
    )


def _delivered(reader_id: int, listed: Listed) -> tuple[int | None, int | None, set[int]]:
    parameters = {"reader_id": reader_id, "floor": listed.floor, **listed.source._asdict()}
    with connection.cursor() as cursor:
        cursor.execute(DELIVERED, parameters)
        rows = cursor.fetchall()
    version, generation = rows[0][:2] if rows else (None, None)
    return version, generation, {row[2] for row in rows if row[2] is not None}


def _showable(reader_id: int, tweet_ids: set[int]) -> set[int]:
    """Return those of the tweets that belong to the timeline. Other entries only cost memory."""
    followed = Tweet.objects.filter(author__followed_by__follower=reader_id)
    return set(followed.filter(pk__in=tweet_ids).values_list("id", flat=True))
