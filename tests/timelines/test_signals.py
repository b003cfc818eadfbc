"""Which changes of tweets wake a worker."""

import json

import pytest
from django.core.management import call_command
from django.db import transaction

from tests.factories import TweetFactory
from tests.valkey import client
from timelines.delivery import tasks
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


def wake_ups() -> int:
    """Return the number of tasks in the broker, and take them as a worker does."""
    tasks.take_wake_up()
    messages = client().lrange("celery", 0, -1)
    client().delete("celery")
    assert all(json.loads(m)["headers"]["task"] == "timelines.fan_out" for m in messages)
    return len(messages)


def test_a_new_tweet_wakes_a_worker_after_the_commit(ben: User) -> None:
    with transaction.atomic():
        TweetFactory.create(author=ben)
        assert wake_ups() == 0
    assert wake_ups() == 1


def test_a_tweet_rolled_back_wakes_no_worker(ben: User) -> None:
    with transaction.atomic():
        TweetFactory.create(author=ben)
        transaction.set_rollback(True)
    assert wake_ups() == 0


def test_an_edited_tweet_wakes_no_worker(ben: User) -> None:
    tweet = TweetFactory.create(author=ben)
    assert wake_ups() == 1
    tweet.save()
    assert wake_ups() == 0


def test_a_deleted_tweet_wakes_a_worker(ben: User) -> None:
    tweet = TweetFactory.create(author=ben)
    assert wake_ups() == 1
    tweet.delete()
    assert wake_ups() == 1


def test_many_tweets_send_one_wake_up_until_it_arrives(db: None) -> None:
    call_command("loaddata", "demo", verbosity=0)
    ben = User.objects.get(username="ben")
    TweetFactory.create_batch(3, author=ben)
    assert wake_ups() == 1
    TweetFactory.create(author=ben)
    assert wake_ups() == 1
