"""The Celery task that works on the outbox."""

from celery import shared_task
from django.db import close_old_connections

from timelines.delivery import rounds, wake_ups

# A task ends after this time, so that a worker can take other tasks, or stop.
SHARE_SECONDS = 1.0


def wake() -> None:
    """Send the workers a wake-up, unless one is under way. Raises Unavailable."""
    if wake_ups.claim():
        fan_out.delay()


# Acknowledged early: the outbox keeps the work, not the message, and a message that is held while
# Redis goes away can take its worker down.
@shared_task(name="timelines.fan_out", acks_late=False)
def fan_out() -> None:
    """Work on everything in the outbox that is due.

    Raises Unavailable or a database error, with nothing lost: a later sweep tries again.
    """
    close_old_connections()  # one may have broken since the last task
    wake_ups.take()
    if rounds.drain(SHARE_SECONDS):
        wake()
