"""The order in which rounds work on rows, and what holds a row back."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import TweetFactory
from tests.timelines.lists import add_followers, deliver_all, listed, materialise
from tests.timelines.machine import Worker
from tests.valkey import client
from timelines.delivery import rounds
from timelines.delivery.claims import Claim
from timelines.delivery.rounds import Round, run_round
from timelines.lists import changes
from timelines.lists.store import list_key
from timelines.models import FanOut
from tweets.models import Tweet
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)

Workers = Callable[[], Worker]


def put_off() -> None:
    """Postpone all rows, as a failure does."""
    FanOut.objects.update(next_attempt_at=timezone.now() + timedelta(hours=1))


def make_due() -> None:
    FanOut.objects.update(next_attempt_at=timezone.now())


def test_a_long_fan_out_takes_turns_with_a_later_tweet(ben: User, alyssa: User) -> None:
    add_followers(ben, 8)
    [reader] = add_followers(alyssa, 1)
    TweetFactory.create(author=ben)
    tweet = TweetFactory.create(author=alyssa)
    reached = [run_round(rows=1, followers=4).reached for _ in range(2)]
    assert (reached, listed(reader)) == ([4, 1], [tweet.pk])


def test_two_long_fan_outs_take_turns(ben: User, alyssa: User) -> None:
    for author in (ben, alyssa):
        add_followers(author, 8)
        TweetFactory.create(author=author)
    served = []
    for _ in range(4):
        run_round(rows=1, followers=2)
        after = dict(FanOut.objects.values_list("author_id", "after_follower_id"))
        served.append(sum(position > 0 for position in after.values()))
    assert served == [1, 2, 2, 2]


def test_a_round_serves_the_oldest_rows_first_and_in_order(ben: User, worker: Workers) -> None:
    tweets = TweetFactory.create_batch(5, author=ben)
    latest = FanOut.objects.get(tweet_id=tweets[0].pk)
    latest.next_attempt_at = timezone.now()
    latest.save()
    one = worker()
    one.claim(rows=4, followers=100)
    assert [claim.tweet_id for claim in one.claims] == [tweet.pk for tweet in tweets[1:]]


def test_a_retraction_waits_for_a_delivery_that_is_postponed(ben: User) -> None:
    [reader] = add_followers(ben, 1)
    tweet = TweetFactory.create(author=ben)
    put_off()
    tweet.delete()
    assert run_round() == Round()
    make_due()
    assert run_round() == Round(claimed=1, finished=1, reached=1)
    deliver_all()
    assert listed(reader) == []


def test_a_delivery_under_a_used_id_waits_for_a_retraction_that_is_postponed(ben: User) -> None:
    [reader] = add_followers(ben, 1)
    tweet = TweetFactory.create(author=ben)
    deliver_all()
    Tweet.objects.filter(pk=tweet.pk).delete()
    put_off()
    TweetFactory.create(pk=tweet.pk, author=ben)
    assert run_round() == Round()
    make_due()
    assert run_round() == Round(claimed=1, finished=1, reached=1)
    deliver_all()
    assert listed(reader) == [tweet.pk]


def test_a_postponed_row_holds_back_no_other_tweet(ben: User) -> None:
    [reader] = add_followers(ben, 1)
    TweetFactory.create(author=ben)
    put_off()
    tweet = TweetFactory.create(author=ben)
    assert run_round().finished == 1
    assert listed(reader) == [tweet.pk]


@pytest.mark.parametrize("step", [(changes, "apply"), (rounds, "finish")])
def test_no_other_worker_claims_the_rows_of_a_running_round(
    ben: User, worker: Workers, monkeypatch: pytest.MonkeyPatch, step: tuple[object, str]
) -> None:
    add_followers(ben, 3)
    TweetFactory.create_batch(3, author=ben)
    other, claimed = worker(), list[Claim]()
    original = getattr(*step)

    def compete(*arguments: object) -> object:
        other.claim(rows=100, followers=100)
        claimed.extend(other.claims)
        other.die()
        return original(*arguments)

    monkeypatch.setattr(*step, compete)
    assert run_round().finished == 3
    assert claimed == []


def test_a_round_that_ends_with_an_exception_changes_no_row(
    ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_followers(ben, 3)
    TweetFactory.create_batch(2, author=ben)
    before = list(FanOut.objects.order_by("id").values())

    def die(*arguments: object) -> None:
        raise KeyError

    with monkeypatch.context() as patched, pytest.raises(KeyError):
        patched.setattr(rounds, "finish", die)
        run_round()
    assert list(FanOut.objects.order_by("id").values()) == before
    assert run_round().finished == 2


def test_a_retraction_gets_a_quarter_of_a_delivery(
    ben: User, alyssa: User, worker: Workers
) -> None:
    for author in (ben, alyssa):
        add_followers(author, 10)
    retracted = TweetFactory.create(author=ben)
    deliver_all()
    retracted.delete()
    TweetFactory.create(author=alyssa)
    one = worker()
    one.claim(rows=2, followers=16)
    batches = {claim.kind: len(claim.follower_ids) for claim in one.claims}
    assert batches == {"retract": 2, "deliver": 8}


def test_a_failure_is_forgotten_once_a_row_moves_on(ben: User) -> None:
    first, second = add_followers(ben, 2)
    TweetFactory.create(author=ben)

    def break_list(reader_id: int) -> None:
        client().delete(list_key(reader_id))
        client().set(list_key(reader_id), "no list")

    break_list(first)
    for _ in range(3):
        assert run_round(followers=1).failed == 1
        make_due()
    assert FanOut.objects.get().attempts == 3
    materialise(first)
    break_list(second)
    assert run_round(followers=1).reached == 1
    row = FanOut.objects.get()
    assert (row.after_follower_id, row.attempts, row.last_error) == (first, 0, "")
    assert run_round(followers=1).failed == 1
    row = FanOut.objects.get()
    assert (row.after_follower_id, row.attempts) == (first, 1)
    assert (row.next_attempt_at - timezone.now()).total_seconds() < 2  # again the first pause
