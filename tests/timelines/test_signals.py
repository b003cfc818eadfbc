"""When a change of the database wakes a worker."""

import json

import pytest
from django.core.management import call_command
from django.db import transaction

from tests.factories import TweetFactory
from tests.valkey import client
from timelines.delivery import wake_ups as keys
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


def wake_ups() -> int:
    """How many tasks wait in the broker; takes them, as a worker does."""
    keys.take()
    messages = client().lrange("celery", 0, -1)
    client().delete("celery")
    assert all(json.loads(m)["headers"]["task"] == "timelines.fan_out" for m in messages)
    return len(messages)


def test_a_new_tweet_wakes_a_worker_once_committed(ben: User) -> None:
    with transaction.atomic():
        TweetFactory.create(author=ben)
        assert wake_ups() == 0
    assert wake_ups() == 1


def test_a_tweet_rolled_back_wakes_nobody(ben: User) -> None:
    with transaction.atomic():
        TweetFactory.create(author=ben)
        transaction.set_rollback(True)
    assert wake_ups() == 0


def test_an_edited_tweet_wakes_nobody(ben: User) -> None:
    tweet = TweetFactory.create(author=ben)
    assert wake_ups() == 1
    tweet.save()
    assert wake_ups() == 0


def test_a_deleted_tweet_wakes_a_worker(ben: User) -> None:
    tweet = TweetFactory.create(author=ben)
    assert wake_ups() == 1
    tweet.delete()
    assert wake_ups() == 1


def test_many_tweets_send_one_wake_up_until_it_has_arrived(db: None) -> None:
    call_command("loaddata", "demo", verbosity=0)
    ben = User.objects.get(username="ben")
    TweetFactory.create_batch(3, author=ben)
    assert wake_ups() == 1
    TweetFactory.create(author=ben)
    assert wake_ups() == 1
