"""Tasks to compare with. The same workers run them."""

from celery import shared_task

from benchmarks import world
from tests.valkey import client
from timelines.lists import changes
from timelines.lists.entries import Entry
from timelines.lists.packing import Change
from tweets.models import Tweet
from users.models import Follow

DELIVERED = "benchmarks:delivered"


@shared_task(ignore_result=False)
def nothing() -> None:
    """Do nothing, so that only the round trip of a task is measured."""


@shared_task
def deliver_one(tweet_id: int) -> None:
    """Deliver one tweet to all followers of its author: the obvious design, one task per tweet."""
    tweet = Tweet.objects.get(pk=tweet_id)
    follower_ids = Follow.objects.filter(followed=tweet.author_id).order_by("follower_id")
    ids = list(follower_ids.values_list("follower_id", flat=True))
    changes.apply([Change(Entry(tweet.pk, tweet.author_id), ids)], world.admissions())
    client().incr(DELIVERED)
