"""Receivers: guard, then enqueue after commit; nothing else."""

from collections.abc import Callable, Iterable
from typing import Any

from django.db import transaction

from timelines import store, tasks
from tweets.models import Tweet
from users.models import Follow


def tweet_saved(instance: Tweet, created: bool, **kwargs: Any) -> None:
    """Enqueue the fan-out of a new tweet."""
    if created:
        _after_commit(tasks.fan_out.delay, instance.pk, instance.author_id)


def tweet_deleted(instance: Tweet, **kwargs: Any) -> None:
    """Enqueue the retraction of a deleted tweet."""
    _after_commit(tasks.retract.delay, instance.pk, instance.author_id)


def follow_changed(instance: Follow, **kwargs: Any) -> None:
    """Forget the home timeline of whoever follows somebody else now."""
    _after_commit(store.forget, [instance.follower_id])


def follows_changed(follower_ids: Iterable[int], **kwargs: Any) -> None:
    """Forget the home timelines of all whose follows were loaded."""
    _after_commit(store.forget, list(follower_ids))


def _after_commit(action: Callable[..., object], *arguments: object) -> None:
    """Call the action once the change is committed.

    Robust, as the change can't be undone by then: a Redis that can't be reached is logged with
    its traceback and does not turn the change's answer into an error.
    """

    def run() -> None:  # not functools.partial: Django logs the name, and a partial has none
        action(*arguments)

    transaction.on_commit(run, robust=True)
