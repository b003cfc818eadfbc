"""From one tweet to the home timelines of its author's followers."""

from django.conf import settings

from timelines import store
from timelines.entries import Entry
from users.models import Follow


def fan_out(tweet_id: int, author_id: int) -> int:
    """Push the tweet onto every follower's materialised home timeline; returns how many."""
    entry = Entry(tweet_id, author_id)
    batches = Follow.objects.follower_id_batches(author_id, settings.FAN_OUT_BATCH)
    return sum(store.push(entry, follower_ids) for follower_ids in batches)


def retract(tweet_id: int, author_id: int) -> int:
    """Take the tweet off every follower's home timeline; returns from how many."""
    entry = Entry(tweet_id, author_id)
    batches = Follow.objects.follower_id_batches(author_id, settings.FAN_OUT_BATCH)
    return sum(store.remove(entry, follower_ids) for follower_ids in batches)
