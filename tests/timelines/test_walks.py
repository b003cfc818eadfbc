"""Walks over HTTP with random bounds and limits, by `Link` headers, while tweets are posted."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import FollowFactory, UserFactory
from tests.stack import Stack
from tests.timelines.lists import deliver_all
from timelines.models import FanOut
from tweets.models import Tweet
from users.models import User

# More than a list holds, so that the end of a walk is read from Postgres.
TWEETS_BEFORE = 1_500
FRACTIONS = st.floats(0, 1)


def delivered(reader: User) -> list[int]:
    """Return the ids of the tweets whose delivery to the reader is complete, newest first."""
    followed = reader.follows.values("followed")
    pending = FanOut.objects.values("tweet_id")
    tweets = Tweet.objects.filter(author__in=followed).exclude(pk__in=pending)
    return list(tweets.order_by("-pk").values_list("pk", flat=True))


@contextmanager
def posting(address: str, authors: list[User]) -> Iterator[None]:
    """Post continuously in another thread during the `with` block."""
    done = threading.Event()

    def post() -> None:
        with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
            number = 0
            while not done.wait(0.005):
                author = authors[number % len(authors)]
                body = {"userId": author.pk, "message": f"{number}"}
                client.post("/tweets", json=body).raise_for_status()
                number += 1

    thread = threading.Thread(target=post)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.slow
def test_a_walk_returns_every_earlier_tweet_exactly_once(stack: Stack, ben: User) -> None:
    authors = UserFactory.create_batch(4)
    for author in authors[:3]:  # nobody follows the fourth
        FollowFactory.create(follower=ben, followed=author)
    web = stack.start_web(processes=2)
    timeline = f"/tweets/followed/{ben.pk}"
    web.get(timeline)
    Tweet.objects.bulk_create(
        Tweet(author=authors[n % 4], message=f"{n}") for n in range(TWEETS_BEFORE)
    )
    deliver_all()
    stack.start_worker("worker")

    def walk(address: str, most: int) -> tuple[list[int], str]:
        """Follow `next` to the end. Return all ids, and the first `prev` link."""
        seen: list[int] = []
        newer, following = "", address
        while following:
            page = web.get(following).raise_for_status()
            assert len(page.json()) <= most
            seen += [int(tweet["id"]) for tweet in page.json()]
            newer = newer or page.links["prev"]["url"]
            following = page.links.get("next", {}).get("url", "")
        assert seen == sorted(set(seen), reverse=True)
        return seen, newer

    def climb(newer: str, most: int) -> list[int]:
        """Follow `prev` a few times. Return all ids."""
        seen: list[int] = []
        for _ in range(4):
            page = web.get(newer).raise_for_status()
            assert len(page.json()) <= most
            seen += [int(tweet["id"]) for tweet in page.json()[::-1]]
            newer = page.links["prev"]["url"]
        assert len(seen) == len(set(seen))
        return seen

    # A bound is a fraction of the id range, which extends slightly beyond the newest tweet.
    @given(limit=st.integers(9, 200), max_id=st.none() | FRACTIONS, since_id=st.none() | FRACTIONS)
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def walks(limit: int, max_id: float | None, since_id: float | None) -> None:
        before = delivered(ben)
        asked = {"max_id": max_id, "since_id": since_id}
        top = before[0] + 9
        bounds = {name: round(top * at) for name, at in asked.items() if at is not None}
        query = urlencode({"limit": limit, **bounds})
        seen, newer = walk(f"{timeline}?{query}", limit)
        low, high = bounds.get("since_id", 0), bounds.get("max_id", 2**63)
        there = {pk for pk in before if low < pk < high}
        assert there <= set(seen)
        assert all(low < pk < high for pk in seen)
        followed = Tweet.objects.filter(pk__in=seen, author__in=authors[:3])
        assert followed.count() == len(seen)
        news = climb(newer, limit)
        assert not set(news) & set(seen)
        assert {pk for pk in before if max(low + 1, high) <= pk <= max(news, default=0)} <= set(
            news
        )

    with posting(stack.address, authors):
        walks()
    assert len(delivered(ben)) > TWEETS_BEFORE * 3 // 4
