"""Receivers: guard, then enqueue after commit; nothing else.

`robust` because the change itself is committed by then: a broker that can't be reached is logged
with its traceback and does not turn the change's answer into an error.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db.transaction import on_commit

from timelines import store, tasks
from tweets.models import Tweet
from users.models import Follow


def tweet_saved(instance: Tweet, created: bool, **kwargs: Any) -> None:
    """Enqueue the fan-out of a new tweet."""
    if created:
        on_commit(partial(tasks.fan_out.delay, instance.pk, instance.author_id), robust=True)


def tweet_deleted(instance: Tweet, **kwargs: Any) -> None:
    """Enqueue the retraction of a deleted tweet."""
    on_commit(partial(tasks.retract.delay, instance.pk, instance.author_id), robust=True)


def follow_changed(instance: Follow, **kwargs: Any) -> None:
    """Forget the home timeline of whoever follows somebody else now."""
    on_commit(partial(store.forget, [instance.follower_id]), robust=True)


def follows_changed(follower_ids: Iterable[int], **kwargs: Any) -> None:
    """Forget the home timelines of all whose follows were loaded."""
    on_commit(partial(store.forget, list(follower_ids)), robust=True)
