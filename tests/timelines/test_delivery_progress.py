"""GET /tweets/:tweet_id/delivery, which tells how far a delivery is."""

from collections.abc import Callable, Iterator

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from backends.slots import slot_of
from tests.factories import TweetFactory
from tests.timelines.lists import add_followers, deliver_all
from tests.timelines.machine import small_ranges
from timelines.delivery import progress
from timelines.delivery.rounds import run_round
from timelines.lists import store
from timelines.models import FanOut
from tweets.models import Tweet
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tweet(ben: User) -> Tweet:
    """A tweet by ben, who has ten followers with lists."""
    add_followers(ben, 10)
    return TweetFactory.create(author=ben)


@pytest.fixture
def look(api: APIClient, tweet: Tweet) -> Callable[[], tuple[bool, int, int]]:
    """look() asks the API whether the delivery is done, of how many followers, and how many."""

    def ask() -> tuple[bool, int, int]:
        answer = api.get(f"/tweets/{tweet.pk}/delivery").json()
        assert list(answer) == ["isDone", "followers", "reached"]
        return answer["isDone"], answer["followers"], answer["reached"]

    return ask


@pytest.fixture
def ranges() -> Iterator[None]:
    with small_ranges():
        yield


Look = Callable[[], tuple[bool, int, int]]


def test_followers_are_reached_round_by_round(look: Look) -> None:
    assert look() == (False, 10, 0)
    run_round(followers=4)
    assert look() == (False, 10, 4)
    deliver_all()
    assert look() == (True, 10, 10)


def test_a_delivery_in_ranges_counts_what_each_has_left(look: Look, ranges: None) -> None:
    reached = [0]
    while run_round(followers=2).claimed:
        is_done, _, served = look()
        reached.append(served)
        assert is_done == (not FanOut.objects.exists())
    assert reached == sorted(reached)
    assert len(set(reached)) > 3
    assert reached[-1] == 10


def test_followers_whose_server_took_the_tweet_are_reached(
    look: Look, monkeypatch: pytest.MonkeyPatch, ben: User
) -> None:
    monkeypatch.setattr(store, "slot", slot_of)
    slot = slot_of(ben.followed_by.latest("follower_id").follower_id)
    FanOut.objects.update(first_slot=slot, last_slot=slot)
    assert look() == (False, 10, 9)


def test_only_the_first_followers_are_counted(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    bounded = progress.PROGRESS.replace(str(progress.COUNTED_FOLLOWERS), "6")
    monkeypatch.setattr(progress, "PROGRESS", bounded)
    assert look() == (False, 6, 0)
    run_round(followers=4)
    assert look() == (False, 6, 4)
    run_round(followers=4)
    assert look() == (False, 6, 6)


def test_after_a_change_of_the_author_only_the_new_ones_followers_count(
    look: Look, tweet: Tweet, alyssa: User
) -> None:
    add_followers(alyssa, 2)
    Tweet.objects.filter(pk=tweet.pk).update(author=alyssa)
    assert look() == (False, 2, 0)
    deliver_all()
    assert look() == (True, 2, 2)


def test_a_retraction_is_no_delivery(look: Look) -> None:
    FanOut.objects.update(kind=FanOut.Kind.RETRACT)
    assert look() == (True, 10, 10)


def test_a_tweet_of_an_author_without_followers_is_delivered_by_the_next_round(
    api: APIClient, alyssa: User
) -> None:
    path = f"/tweets/{TweetFactory.create(author=alyssa).pk}/delivery"
    assert api.get(path).json() == {"isDone": False, "followers": 0, "reached": 0}
    deliver_all()
    assert api.get(path).json() == {"isDone": True, "followers": 0, "reached": 0}


@pytest.mark.parametrize("tweet_id", ["0", "999999", str(2**63)])
def test_an_unknown_tweet_gets_a_404(api: APIClient, tweet_id: str) -> None:
    answer = api.get(f"/tweets/{tweet_id}/delivery")
    assert (answer.status_code, answer.json()) == (
        404,
        {"detail": f"There is no tweet {tweet_id}."},
    )


def test_a_deleted_tweet_gets_a_404_while_its_delivery_is_pending(
    api: APIClient, tweet: Tweet
) -> None:
    tweet_id = tweet.pk
    tweet.delete()
    assert FanOut.objects.filter(kind=FanOut.Kind.DELIVER).exists()
    assert api.get(f"/tweets/{tweet_id}/delivery").status_code == 404


def test_the_query_costs_one_statement_without_a_token(
    settings: Settings, look: Look, statements: Callable[[], int]
) -> None:
    settings.TWIT_OPEN_API = False
    statements()
    look()
    assert statements() == 1
