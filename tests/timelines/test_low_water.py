"""The low-water id, and what is new to a client that comes back to a home timeline."""

from collections.abc import Callable
from unittest.mock import patch

import pytest

from api.cursors import Cursor
from api.paging import Page, Window
from backends.valkey import Unavailable
from tests.factories import TweetFactory
from tests.stack import wait_until
from tests.timelines.lists import deliver_all, page, push, query
from tests.timelines.machine import Worker, no_patience
from timelines.delivery import flags, rounds
from timelines.lists import store
from timelines.models import Flag
from timelines.reading import page as pages
from timelines.reading.low_water import LowWater
from timelines.reading.page import home_page
from tweets import settled
from tweets.displayed import DisplayedTweet
from tweets.models import Tweet
from users.models import Follow, User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """look() returns the low-water id as of now."""
    monkeypatch.setattr(settled, "IDLE_SECONDS", 0.0)
    return LowWater().look


@pytest.fixture
def reader(ben: User, alyssa: User, follow: Callable[[User, User], Follow]) -> User:
    """Ben, who follows Alyssa and has a list with one tweet."""
    follow(ben, alyssa)
    TweetFactory.create(author=alyssa)
    deliver_all()
    page(ben)
    return ben


def new(reader: User, after: Cursor, limit: int = 20) -> Page[DisplayedTweet]:
    return home_page(reader.pk, Window(limit=limit, since_id=after.low, after=after))


def ids(found: Page[DisplayedTweet]) -> list[int]:
    return [tweet.id for tweet in found.items]


def test_a_pending_delivery_holds_it_back(alyssa: User, look: Callable[[], int]) -> None:
    before = TweetFactory.create(author=alyssa)
    deliver_all()
    wait_until(lambda: look() == before.pk)
    TweetFactory.create_batch(2, author=alyssa)
    assert look() == before.pk
    deliver_all()
    wait_until(lambda: look() == before.pk + 2)


def test_a_flagged_delivery_does_not(alyssa: User, look: Callable[[], int]) -> None:
    slow, other = TweetFactory.create_batch(2, author=alyssa)
    with no_patience():
        flags.sweep()
    Flag.objects.filter(pk=other.pk).delete()
    wait_until(lambda: look() == slow.pk)


def test_nor_does_a_retraction(alyssa: User, look: Callable[[], int]) -> None:
    first, last = TweetFactory.create_batch(2, author=alyssa)
    deliver_all()
    first.delete()
    wait_until(lambda: look() == last.pk)


def test_what_is_new_is_the_lowest_first_to_come_and_printed_newest_first(
    reader: User, alyssa: User
) -> None:
    [before] = query(reader)
    first, second, third = (tweet.pk for tweet in TweetFactory.create_batch(3, author=alyssa))
    deliver_all()
    assert new(reader, Cursor(before), limit=2).has_more
    assert ids(new(reader, Cursor(before), limit=2)) == [second, first]
    assert ids(new(reader, Cursor(before, (first, third)))) == [second]
    assert ids(new(reader, Cursor(before, (first, second, third)))) == []


def test_what_was_delivered_twice_is_new_once(reader: User, alyssa: User) -> None:
    [before] = query(reader)
    first, second = (tweet.pk for tweet in TweetFactory.create_batch(2, author=alyssa))
    deliver_all()
    push(first, reader.pk)
    push(before, reader.pk)
    assert ids(new(reader, Cursor(before))) == [second, first]
    assert not new(reader, Cursor(before), limit=2).has_more


@pytest.mark.parametrize("is_listed", [True, False])
def test_slow_deliveries_are_new_too(
    reader: User, alyssa: User, worker: Callable[[], Worker], is_listed: bool
) -> None:
    after = Cursor(query(reader)[0])
    slow = TweetFactory.create(author=alyssa)
    with no_patience():
        flags.sweep()
    worker().claim(rows=1, followers=1)  # a round that takes long
    later = TweetFactory.create(author=alyssa)
    assert rounds.run_round().claimed
    with patch.object(store, "read", store.read if is_listed else unavailable):
        assert ids(new(reader, after)) == [later.pk, slow.pk]
        assert ids(new(reader, after, limit=1)) == [slow.pk]
        assert ids(new(reader, Cursor(after.low, (slow.pk,)))) == [later.pk]


def unavailable(*args: object, **kwargs: object) -> None:
    raise Unavailable


def test_new_tweets_come_from_postgres_if_the_list_does_not_reach_back(
    reader: User, alyssa: User, list_size: Callable[..., None]
) -> None:
    list_size(cap=6, spacing=2)
    [before] = query(reader)
    tweets = [tweet.pk for tweet in TweetFactory.create_batch(30, author=alyssa)]
    deliver_all()
    listed = store.read(reader.pk)
    assert listed
    assert listed.floor > before
    assert ids(new(reader, Cursor(before), limit=5)) == tweets[4::-1]
    assert ids(new(reader, Cursor(before, tuple(tweets[:25])), limit=5)) == tweets[:24:-1]


def test_new_tweets_fill_a_page_although_many_were_deleted(reader: User, alyssa: User) -> None:
    [before] = query(reader)
    tweets = [tweet.pk for tweet in TweetFactory.create_batch(30, author=alyssa)]
    deliver_all()
    Tweet.objects.filter(pk__in=tweets[:20])._raw_delete("default")
    with patch.object(pages, "REFILL", 2):
        assert ids(new(reader, Cursor(before), limit=4)) == tweets[23:19:-1]
