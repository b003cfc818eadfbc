"""Signal receivers: they wake a worker after the commit, and do nothing else."""

import logging
from typing import Any

from django.db import transaction

from backends.valkey import Unavailable
from timelines.delivery import tasks

logger = logging.getLogger(__name__)


def tweet_changed(*, created: bool = True, **kwargs: Any) -> None:
    """Wake a worker for a tweet that was created or deleted, but not for an edited one."""
    if created:
        transaction.on_commit(_wake, robust=True)


def _wake() -> None:
    # Without a wake-up the next sweep finds the outbox row. The hook is robust because an error
    # here must not fail a request whose change is committed.
    try:
        tasks.wake()
    except Unavailable as error:
        logger.warning("A wake-up may not have reached the workers: %s", error)
