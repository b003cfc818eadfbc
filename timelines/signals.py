"""Receivers: guard, then enqueue after commit; nothing else."""

from typing import Any

from django.db import transaction

from timelines import tasks


def tweet_saved(created: bool, **kwargs: Any) -> None:
    """Wake a worker for a new tweet."""
    if created:
        transaction.on_commit(_wake, robust=True)


def tweet_deleted(**kwargs: Any) -> None:
    """Wake a worker for a deleted tweet."""
    transaction.on_commit(_wake, robust=True)


def _wake() -> None:
    # Robust: the outbox holds the work already, so a broker that can't be reached is logged and
    # does not turn an answer into an error.
    tasks.fan_out.delay()
