"""Celery's way in."""

from celery import shared_task
from django.db import close_old_connections

from timelines import fanout, store

# A task's share of a worker, after which it makes room for others, or for the worker's end.
SHARE_SECONDS = 1.0


def wake() -> None:
    """Send workers a wake-up, unless one is under way. Raises timelines.server.Unavailable."""
    if store.claim_wake_up():
        fan_out.delay()


# Acknowledged as it begins: the outbox, not the message, sees to it that nothing is lost, and a
# message that is held while Redis goes away can take its worker down.
@shared_task(name="timelines.fan_out", acks_late=False)
def fan_out() -> None:
    """Work off the outbox: what a wake-up was sent for, and whatever else is pending.

    Raises timelines.server.Unavailable or a database error, with nothing lost; a sweep tries again.
    """
    close_old_connections()  # one that broke since the last task
    store.take_wake_up()
    if fanout.drain(SHARE_SECONDS):
        wake()
