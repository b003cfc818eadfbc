"""Helpers that create, fill and read home timelines in tests."""

from api.paging import Window
from tests.factories import FollowFactory
from timelines.delivery import rounds
from timelines.lists import changes, store
from timelines.lists.changes import Change
from timelines.lists.entries import Entry
from timelines.models import FanOut
from timelines.reading.page import home_page
from tweets.models import Tweet
from users.models import User

AUTHOR = 1


def materialise(reader_id: int, *tweet_ids: int, version: int = 0, floor: int = 0) -> None:
    """Create a finished list that holds the tweets."""
    store.forget([reader_id])
    token = store.begin_rebuild(reader_id)
    assert token
    entries = [Entry(tweet_id, AUTHOR) for tweet_id in tweet_ids]
    assert store.finish_rebuild(reader_id, token, version=version, floor=floor, entries=entries)


def add_followers(author: User, count: int) -> list[int]:
    """Give the author new followers, each with a list. Return their ids."""
    ids = [FollowFactory.create(followed=author).follower_id for _ in range(count)]
    for reader_id in ids:
        materialise(reader_id)
    return ids


def push(tweet_id: int, *reader_ids: int) -> int:
    """Push a tweet onto the lists. Return how many it reached."""
    [outcome] = changes.apply([Change(Entry(tweet_id, AUTHOR), reader_ids)])
    assert not outcome.error
    return outcome.reached


def listed(reader_id: int) -> list[int] | None:
    """Return the tweet ids in the list, newest first, or None if there is no list."""
    found = store.read(reader_id, renew=False)
    return None if found is None else list(found.tweet_ids[::-1])


def deliver_all() -> None:
    """Run rounds until the outbox is empty."""
    while rounds.run_round().claimed:
        pass
    assert not FanOut.objects.exists()


def query(reader: User) -> list[int]:
    """Return the ids of the whole home timeline, newest first, as Postgres defines it."""
    tweets = Tweet.objects.filter(author__followed_by__follower=reader)
    return list(tweets.order_by("-id").values_list("id", flat=True))


def page(reader: User, **window: int) -> list[int]:
    """Return the ids of one page."""
    return [tweet.id for tweet in home_page(reader.pk, Window(**window)).items]


def all_pages(reader: User, limit: int) -> list[int]:
    """Return the ids of all pages, newest first."""
    seen: list[int] = []
    while True:
        bound = {"max_id": seen[-1]} if seen else {}
        found = home_page(reader.pk, Window(limit=limit, **bound))
        assert len(found.items) == limit or not found.has_more
        seen += [tweet.id for tweet in found.items]
        if not found.has_more:
            return seen
