"""What a change of the database sets off, and when."""

import json
from base64 import b64decode
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction

from tests.factories import TweetFactory
from timelines import store
from timelines.home import home_page
from tweets.models import Tweet
from tweets.paging import Window
from users import graph
from users.models import Follow, User

pytestmark = pytest.mark.django_db(transaction=True)


def queued() -> list[tuple[str, list[Any]]]:
    """The names and arguments of the tasks in the broker, oldest first."""
    messages = [json.loads(message) for message in store.client().lrange("celery", 0, -1)]
    return [(m["headers"]["task"], json.loads(b64decode(m["body"]))[0]) for m in messages[::-1]]


def test_a_new_tweet_enqueues_its_fan_out_once_committed(ben: User) -> None:
    with transaction.atomic():
        tweet = TweetFactory.create(author=ben)
        assert queued() == []
    assert queued() == [("timelines.fan_out", [tweet.pk, ben.pk])]


def test_a_tweet_rolled_back_enqueues_nothing(ben: User) -> None:
    with transaction.atomic():
        TweetFactory.create(author=ben)
        transaction.set_rollback(True)
    assert queued() == []


def test_an_edited_tweet_enqueues_nothing(ben: User) -> None:
    tweet = TweetFactory.create(author=ben)
    store.client().delete("celery")
    tweet.save()
    assert queued() == []


def test_a_deleted_tweet_enqueues_its_retraction(ben: User) -> None:
    tweet = TweetFactory.create(author=ben)
    tweet_id = tweet.pk
    store.client().delete("celery")
    tweet.delete()
    assert queued() == [("timelines.retract", [tweet_id, ben.pk])]


def test_a_deleted_user_has_every_tweet_retracted(ben: User) -> None:
    tweets = TweetFactory.create_batch(2, author=ben)
    store.client().delete("celery")
    author_id = ben.pk
    ben.delete()
    assert sorted(queued()) == [("timelines.retract", [t.pk, author_id]) for t in tweets]


def test_a_fixture_is_fanned_out_too(db: None) -> None:
    call_command("loaddata", "demo", verbosity=0)
    fan_outs = [("timelines.fan_out", [t.pk, t.author_id]) for t in Tweet.objects.order_by("pk")]
    assert queued() == fan_outs


def page(reader: User) -> list[int]:
    return [int(tweet["id"]) for tweet in home_page(reader.pk, Window())]


def test_follow_and_unfollow_show_at_the_next_read(ben: User, alyssa: User) -> None:
    tweet = TweetFactory.create(author=alyssa)
    assert page(ben) == []
    followed = Follow.objects.create(follower=ben, followed=alyssa)
    assert page(ben) == [tweet.pk]
    followed.delete()
    assert page(ben) == []


def test_loaded_follows_show_at_the_next_read(ben: User, alyssa: User) -> None:
    tweet = TweetFactory.create(author=alyssa)
    assert page(ben) == []
    graph.load([(ben.pk, alyssa.pk)])
    assert page(ben) == [tweet.pk]
