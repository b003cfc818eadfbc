"""Pages that take more than one step: what they cost, and what may happen between the steps."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from api.paging import Window
from tests.factories import FollowFactory, TweetFactory
from tests.timelines.lists import all_pages, deliver_all, page, query
from timelines.lists import store
from timelines.lists.listed import Source
from timelines.models import FanOut
from timelines.reading.hydration import Hydrated, hydrate
from timelines.reading.page import home_page
from tweets.models import Tweet
from users.models import User

pytestmark = pytest.mark.django_db

Act = Callable[[], object]


@pytest.fixture
def reader(ben: User, alyssa: User) -> User:
    """Ben, whose list holds 60 tweets by alyssa. The newest 50 of them are deleted."""
    FollowFactory.create(follower=ben, followed=alyssa)
    page(ben)
    tweets = TweetFactory.create_batch(60, author=alyssa)
    deliver_all()
    Tweet.objects.filter(pk__in=[tweet.pk for tweet in tweets[10:]]).delete()
    FanOut.objects.all().delete()  # the entries stay
    return ben


@pytest.fixture
def after_hydration(monkeypatch: pytest.MonkeyPatch) -> Callable[[Act], None]:
    """after_hydration(act) calls `act` once, after the first statement that hydrates."""

    def schedule(act: Act) -> None:
        acts = [act]

        def then_act(
            reader_id: int, tweet_ids: Sequence[int], source: Source, **others: Any
        ) -> Hydrated:
            found = hydrate(reader_id, tweet_ids, source, **others)
            while acts:
                acts.pop()()
            return found

        monkeypatch.setattr("timelines.reading.page.hydrate", then_act)

    return schedule


def test_a_page_whose_entries_are_gone_costs_two_statements(
    reader: User, statements: Callable[[], int]
) -> None:
    statements()
    shown = page(reader, limit=5)
    assert statements() == 2
    assert shown == query(reader)[:5]


def test_a_follow_in_the_middle_of_a_page_shows_on_it(
    reader: User, louis: User, after_hydration: Callable[[Act], None]
) -> None:
    tweet = TweetFactory.create(author=louis)
    deliver_all()
    after_hydration(lambda: FollowFactory.create(follower=reader, followed=louis))
    assert page(reader, limit=5) == [tweet.pk, *query(reader)[1:5]]


def test_an_unfollow_in_the_middle_of_a_page_leaves_it_full(
    reader: User, louis: User, after_hydration: Callable[[Act], None]
) -> None:
    FollowFactory.create(follower=reader, followed=louis)
    kept = [tweet.pk for tweet in TweetFactory.create_batch(3, author=louis)]
    deliver_all()
    page(reader)
    after_hydration(lambda: reader.follows.exclude(followed=louis).delete())
    assert page(reader, limit=5)[:3] == kept[::-1]
    assert all_pages(reader, limit=2) == kept[::-1]


def test_a_page_above_the_floor_costs_one_statement(
    ben: User, alyssa: User, statements: Callable[[], int], list_size: Callable[..., None]
) -> None:
    list_size(cap=10)
    FollowFactory.create(follower=ben, followed=alyssa)
    TweetFactory.create_batch(30, author=alyssa)
    page(ben)
    listed = store.read(ben.pk)
    assert listed and listed.floor > 0
    for window in ({"limit": 3}, {"since_id": listed.floor}, {"since_id": query(ben)[0]}):
        expected = [i for i in query(ben) if i > window.get("since_id", 0)]
        statements()
        assert page(ben, **window) == expected[: window.get("limit", 20)]
        assert statements() == 1


def test_a_page_reaches_the_one_tweet_at_the_floor(
    ben: User, alyssa: User, list_size: Callable[..., None]
) -> None:
    list_size(cap=10)
    FollowFactory.create(follower=ben, followed=alyssa)
    TweetFactory.create_batch(30, author=alyssa)
    page(ben)
    listed = store.read(ben.pk)
    assert listed and listed.floor in query(ben)
    assert page(ben, since_id=listed.floor - 1)[-1] == listed.floor


@pytest.mark.parametrize("limit", range(1, 12))
def test_a_page_that_ends_at_the_floor_tells_whether_there_are_more(
    ben: User, alyssa: User, list_size: Callable[..., None], limit: int
) -> None:
    list_size(cap=6)
    FollowFactory.create(follower=ben, followed=alyssa)
    TweetFactory.create_batch(9, author=alyssa)
    page(ben)
    assert all_pages(ben, limit) == query(ben)
    found = home_page(ben.pk, Window(limit=limit))
    assert found.has_more == (limit < 9)
