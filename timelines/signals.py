"""Receivers: guard, then enqueue after commit; nothing else."""

import logging
from typing import Any

from django.db import transaction

from timelines import server, tasks

logger = logging.getLogger(__name__)


def tweet_saved(created: bool, **kwargs: Any) -> None:
    """Wake a worker for a new tweet."""
    if created:
        transaction.on_commit(_wake, robust=True)


def tweet_deleted(**kwargs: Any) -> None:
    """Wake a worker for a deleted tweet."""
    transaction.on_commit(_wake, robust=True)


def _wake() -> None:
    # The outbox holds the work already: without a wake-up the next sweep finds it. Robust, as an
    # error here must not turn the answer to a change that is committed into one.
    try:
        tasks.wake()
    except server.Unavailable as error:
        logger.warning("No wake-up for the workers: %s", error)
