"""Pages of a home timeline."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from api.paging import Window
from tests.factories import FollowFactory, TweetFactory, UserFactory
from tests.timelines.lists import all_pages, apply, deliver_all, listed, page, query
from tests.timelines.machine import small_lists
from tests.valkey import client
from timelines.lists import store
from timelines.lists.entries import Entry
from timelines.lists.packing import Change
from timelines.reading.page import home_page
from tweets.models import Tweet
from users.models import Follow, User

Following = Callable[[User, User], Follow]

pytestmark = pytest.mark.django_db


def post(author: User) -> Tweet:
    tweet = TweetFactory.create(author=author)
    deliver_all()
    return tweet


def test_it_holds_only_the_tweets_of_followed_users(
    ben: User, alyssa: User, louis: User, follow: Following
) -> None:
    follow(ben, alyssa)
    first = post(alyssa)
    page(ben)  # materialises it
    post(louis)
    post(ben)
    last = post(alyssa)
    assert page(ben) == [last.pk, first.pk]


def test_a_new_tweet_is_read_from_the_list(ben: User, alyssa: User, follow: Following) -> None:
    follow(ben, alyssa)
    assert page(ben) == []
    tweet = TweetFactory.create(author=alyssa)
    assert page(ben) == []  # not delivered yet: the empty list is the whole timeline
    deliver_all()
    assert page(ben) == [tweet.pk]


def test_a_deleted_tweet_is_hidden_before_its_entry_is_removed(
    ben: User, alyssa: User, follow: Following
) -> None:
    follow(ben, alyssa)
    page(ben)
    kept, deleted = post(alyssa), post(alyssa)
    deleted_id = deleted.pk
    deleted.delete()
    assert listed(ben.pk) == [deleted_id, kept.pk]
    assert page(ben) == [kept.pk]
    deliver_all()
    assert listed(ben.pk) == [kept.pk]


def test_a_tweet_that_was_delivered_twice_is_shown_once(
    ben: User, alyssa: User, follow: Following
) -> None:
    follow(ben, alyssa)
    page(ben)
    tweets = [post(alyssa) for _ in range(4)]
    for tweet in tweets:
        apply(Change(Entry(tweet.pk, alyssa.pk), [ben.pk]))
    for limit in (1, 2, 3, 20):
        assert all_pages(ben, limit=limit) == [tweet.pk for tweet in reversed(tweets)]


def test_a_page_is_full_despite_entries_of_deleted_tweets(
    ben: User, alyssa: User, follow: Following
) -> None:
    follow(ben, alyssa)
    page(ben)
    tweets = [post(alyssa) for _ in range(9)]
    Tweet.objects.filter(pk__in=[tweet.pk for tweet in tweets[4:]]).delete()
    assert all_pages(ben, limit=3) == [tweet.pk for tweet in tweets[3::-1]]


@pytest.mark.parametrize("limit", [1, 3, 4, 20])
def test_pages_continue_below_the_floor_without_a_gap(
    ben: User, alyssa: User, follow: Following, list_size: Callable[..., None], limit: int
) -> None:
    list_size(cap=4, spacing=2)
    follow(ben, alyssa)
    TweetFactory.create_batch(6, author=alyssa)
    deliver_all()
    page(ben)
    for _ in range(5):
        post(alyssa)
    assert all_pages(ben, limit) == query(ben)


def test_a_window_above_the_floor_does_not_reach_below_it(
    ben: User, alyssa: User, follow: Following, list_size: Callable[..., None]
) -> None:
    list_size(cap=3)
    follow(ben, alyssa)
    tweets = TweetFactory.create_batch(4, author=alyssa)
    page(ben)
    assert page(ben, since_id=tweets[2].pk) == [tweets[3].pk]
    assert page(ben, since_id=tweets[0].pk) == [tweet.pk for tweet in tweets[:0:-1]]


def test_a_reader_who_does_not_exist_gets_no_list(db: None) -> None:
    with pytest.raises(User.DoesNotExist):
        home_page(999_999, Window())
    assert client().dbsize() == 0


def test_a_reader_who_does_not_exist_raises_during_another_rebuild(db: None) -> None:
    store.begin_rebuild(999_999)
    with pytest.raises(User.DoesNotExist):
        home_page(999_999, Window())


def test_a_deleted_reader_has_no_timeline(ben: User, alyssa: User, follow: Following) -> None:
    follow(ben, alyssa)
    page(ben)
    User.objects.filter(pk=ben.pk).delete()
    with pytest.raises(User.DoesNotExist):
        page(ben)


def test_a_reader_does_not_wait_for_another_rebuild(
    ben: User, alyssa: User, follow: Following
) -> None:
    follow(ben, alyssa)
    tweet = post(alyssa)
    store.begin_rebuild(ben.pk)
    assert page(ben) == [tweet.pk]


class AnyTimeline(TestCase):
    @hypothesis_settings(max_examples=30, deadline=None)
    @given(
        authors=st.lists(st.integers(0, 3), max_size=14),
        followed=st.sets(st.integers(0, 3)),
        read_after=st.integers(0, 14),
        limit=st.integers(1, 6),
        cap=st.integers(2, 8),
    )
    def test_its_pages_equal_the_query(
        self, authors: list[int], followed: set[int], read_after: int, limit: int, cap: int
    ) -> None:
        client().flushdb()
        reader = UserFactory.create()
        people = UserFactory.create_batch(4)
        for number in followed:
            FollowFactory.create(follower=reader, followed=people[number])
        with small_lists(cap=cap, spacing=1):
            for number, author in enumerate(authors):
                if number == read_after:
                    page(reader)
                post(people[author])
            assert all_pages(reader, limit) == query(reader)
