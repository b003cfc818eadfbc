"""Fan-out rounds, which work through the outbox."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from tests.factories import TweetFactory, UserFactory
from tests.timelines.lists import add_followers, listed, materialise
from tests.timelines.machine import Worker
from tests.valkey import client
from timelines.delivery import rounds
from timelines.delivery.rounds import Round, run_round
from timelines.lists.store import list_key
from timelines.models import FanOut
from tweets.models import Tweet
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_round_delivers_many_tweets_at_once(ben: User, alyssa: User) -> None:
    readers = add_followers(ben, 3)
    tweets = TweetFactory.create_batch(4, author=ben) + TweetFactory.create_batch(2, author=alyssa)
    assert run_round() == Round(claimed=6, finished=6, reached=12, failed=0)
    assert all(listed(r) == [tweet.pk for tweet in tweets[3::-1]] for r in readers)
    assert run_round() == Round()


def test_a_long_fan_out_resumes_where_the_last_round_ended(ben: User) -> None:
    add_followers(ben, 10)
    TweetFactory.create(author=ben)
    rounds = [run_round(followers=4) for _ in range(3)]
    assert [r.reached for r in rounds] == [4, 4, 2]
    assert [r.finished for r in rounds] == [0, 0, 1]


def test_a_worker_that_dies_loses_its_round_but_no_tweet(
    ben: User, worker: Callable[[], Worker]
) -> None:
    readers = add_followers(ben, 10)
    TweetFactory.create(author=ben)
    run_round(followers=4)
    dying = worker()
    dying.claim(rows=1, followers=4)
    dying.push()
    dying.die()
    assert [run_round(followers=4).reached for _ in range(3)] == [4, 2, 0]
    elements = [client().llen(list_key(reader)) for reader in readers]
    # The placeholder and the tweet; twice the tweet where the dead worker had pushed it already.
    assert elements == [2, 2, 2, 2, 3, 3, 3, 3, 2, 2]
    assert all(len(set(listed(reader) or [])) == 1 for reader in readers)


def test_a_long_fan_out_does_not_delay_a_short_one(ben: User, alyssa: User) -> None:
    add_followers(ben, 20)
    [reader] = add_followers(alyssa, 1)
    TweetFactory.create(author=ben)
    run_round(followers=4)
    tweet = TweetFactory.create(author=alyssa)
    shared = run_round(followers=8)
    assert (shared.claimed, shared.finished, shared.reached) == (2, 1, 5)
    assert listed(reader) == [tweet.pk]


def test_two_workers_claim_different_rows(ben: User, worker: Callable[[], Worker]) -> None:
    add_followers(ben, 1)
    TweetFactory.create_batch(5, author=ben)
    one, two = worker(), worker()
    one.claim(rows=2, followers=100)
    two.claim(rows=100, followers=100)
    claimed = [[claim.tweet_id for claim in w.claims] for w in (one, two)]
    assert [len(ids) for ids in claimed] == [2, 3]
    assert not set(claimed[0]) & set(claimed[1])


def test_deleting_a_tweet_does_not_wait_for_its_fan_out(
    ben: User, worker: Callable[[], Worker], api: APIClient
) -> None:
    add_followers(ben, 2)
    tweet = TweetFactory.create(author=ben)
    at_work = worker()
    at_work.claim(rows=1, followers=1)
    at_work.push()
    # If the round locked the tweet, this would hang, because nothing else ends the round.
    assert api.delete(f"/tweets/{tweet.pk}").status_code == 204
    at_work.finish()


def test_a_retraction_waits_for_its_tweets_delivery(
    ben: User, worker: Callable[[], Worker]
) -> None:
    [reader] = add_followers(ben, 1)
    tweet = TweetFactory.create(author=ben)
    slow, other = worker(), worker()
    slow.claim(rows=1, followers=100)
    tweet.delete()
    other.claim(rows=100, followers=100)
    assert other.claims == []
    slow.push()
    slow.finish()
    assert run_round().finished == 1
    assert listed(reader) == []


def test_a_failing_row_does_not_delay_the_others_and_is_retried_with_backoff(
    ben: User, alyssa: User
) -> None:
    [broken] = add_followers(ben, 1)
    [reader] = add_followers(alyssa, 1)
    client().delete(list_key(broken))
    client().set(list_key(broken), "no list")
    TweetFactory.create(author=ben)
    tweet = TweetFactory.create(author=alyssa)
    failed_after = timezone.now()
    assert run_round() == Round(claimed=2, finished=1, reached=1, failed=1)
    assert listed(reader) == [tweet.pk]
    for attempts, pause in enumerate((1, 5, 30, 120, 600, 600, 600), 1):
        row = FanOut.objects.get()
        assert row.attempts == attempts
        assert "WRONGTYPE" in row.last_error
        due_after = row.next_attempt_at - failed_after
        assert timedelta(seconds=pause) <= due_after < timedelta(seconds=pause + 60)
        if attempts > 1:  # a second may have passed by now
            assert run_round() == Round()
        FanOut.objects.update(next_attempt_at=timezone.now())
        failed_after = timezone.now()
        assert run_round().failed == 1
    materialise(broken)
    FanOut.objects.update(next_attempt_at=timezone.now())
    assert run_round().finished == 1


def test_a_row_with_an_invalid_id_fails_alone(ben: User) -> None:
    [reader] = add_followers(ben, 1)
    FanOut.objects.create(kind=FanOut.Kind.DELIVER, tweet_id=-1, author_id=ben.pk)
    tweet = TweetFactory.create(author=ben)
    assert run_round() == Round(claimed=2, finished=1, reached=1, failed=1)
    assert listed(reader) == [tweet.pk]
    assert FanOut.objects.get().last_error.startswith("ValueError")


def test_the_admin_shows_a_failure_and_retries_it_now(
    ben: User, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "PAUSES_SECONDS", (600,))
    add_followers(ben, 1)
    row = FanOut.objects.create(kind=FanOut.Kind.DELIVER, tweet_id=-1, author_id=ben.pk)
    run_round()
    address = reverse("admin:timelines_fanout_changelist")
    assert "ValueError" in admin_client.get(address).content.decode()
    assert run_round() == Round()
    action = {"action": "retry_now", "_selected_action": [row.pk]}
    answer = admin_client.post(address, action, follow=True)
    assert "1 fan-outs are due now" in answer.content.decode()
    assert run_round().failed == 1


def test_a_fan_out_in_the_admin_leads_to_its_tweet_and_author(
    ben: User, admin_client: Client
) -> None:
    tweet = TweetFactory.create(author=ben)
    FanOut.objects.create(kind=FanOut.Kind.RETRACT, tweet_id=77, author_id=78)
    row = FanOut.objects.earliest("id")
    for path in ("timelines/fanout/", f"timelines/fanout/{row.pk}/change/"):
        page = admin_client.get(f"/admin/{path}").content.decode()
        assert f'<a href="/admin/tweets/tweet/{tweet.pk}/change/">{tweet.pk}</a>' in page
        assert f'<a href="/admin/users/user/{ben.pk}/change/">ben</a>' in page
    gone = admin_client.get("/admin/timelines/fanout/?q=77").content.decode()
    assert "77 (deleted)" in gone
    assert "78 (deleted)" in gone


def test_the_fan_out_of_an_author_without_followers_finishes_in_one_round(ben: User) -> None:
    TweetFactory.create(author=ben)
    assert run_round() == Round(claimed=1, finished=1)


def test_drain_stops_when_the_outbox_is_empty_or_its_time_is_up(ben: User) -> None:
    more_than_two_rounds = 2 * rounds.ROUND_ROWS + 1
    Tweet.objects.bulk_create(Tweet(author=ben, message="hi") for _ in range(more_than_two_rounds))
    assert rounds.drain(seconds=0) is True
    assert FanOut.objects.count() == rounds.ROUND_ROWS + 1
    assert rounds.drain(seconds=60) is False
    assert not FanOut.objects.exists()


def test_a_bulk_insert_adds_one_row_per_tweet_in_order(ben: User) -> None:
    Tweet.objects.bulk_create([Tweet(author=ben, message=str(n)) for n in range(50)])
    pending = FanOut.objects.order_by("id").values_list("tweet_id", flat=True)
    assert list(pending) == sorted(Tweet.objects.values_list("id", flat=True))


def test_users_without_tweets_or_follows_cause_no_work(db: None) -> None:
    UserFactory.create_batch(3)
    assert run_round() == Round()
