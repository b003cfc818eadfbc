"""Pages over HTTP by any bounds and limits, following `Link` alone, while tweets are posted."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories import FollowFactory, UserFactory
from tests.stack import Stack
from tests.timelines.lists import deliver_all
from timelines.models import FanOut
from tweets.models import Tweet
from users.models import User

# More than a list holds: the end of a walk is Postgres's.
TWEETS_BEFORE = 1_500
PLACES = st.floats(0, 1)


def delivered(reader: User) -> list[int]:
    """The ids of the tweets that are in the reader's home timeline for certain, newest first."""
    followed = reader.follows.values("followed")
    pending = FanOut.objects.values("tweet_id")
    tweets = Tweet.objects.filter(author__in=followed).exclude(pk__in=pending)
    return list(tweets.order_by("-pk").values_list("pk", flat=True))


@contextmanager
def posting(address: str, authors: list[User]) -> Iterator[None]:
    """Somebody posts all the time."""
    done = threading.Event()

    def post() -> None:
        with httpx.Client(base_url=address, trust_env=False) as client:
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


def test_a_walk_meets_every_tweet_that_was_there_exactly_once(stack: Stack, ben: User) -> None:
    authors = UserFactory.create_batch(4)
    for author in authors[:3]:  # the fourth is followed by nobody
        FollowFactory.create(follower=ben, followed=author)
    web = stack.start_web(processes=2)
    timeline = f"/tweets/followed/{ben.pk}"
    web.get(timeline)
    Tweet.objects.bulk_create(
        Tweet(author=authors[n % 4], message=f"{n}") for n in range(TWEETS_BEFORE)
    )
    deliver_all()
    stack.start_worker("worker")

    def walk(address: str, most: int) -> tuple[list[int], str | None]:
        """All ids from there on by `next`, and where the first page says that newer ones are."""
        seen: list[int] = []
        newer: str | None = None
        following: str = address
        while following:
            page = web.get(following).raise_for_status()
            assert len(page.json()) <= most
            seen += [int(tweet["id"]) for tweet in page.json()]
            newer = newer or page.links.get("prev", {}).get("url")
            following = page.links.get("next", {}).get("url", "")
        assert seen == sorted(set(seen), reverse=True)
        return seen, newer

    # Bounds are places in the timeline, from its newest tweet, and beyond it, to its oldest.
    @given(limit=st.integers(3, 200), max_id=st.none() | PLACES, since_id=st.none() | PLACES)
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
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
        if newer:
            since, _ = walk(newer, limit)
            assert not set(since) & set(seen)
            assert {pk for pk in before if pk > seen[0]} <= set(since)

    with posting(stack.address, authors):
        walks()
    assert len(delivered(ben)) > TWEETS_BEFORE * 3 // 4
