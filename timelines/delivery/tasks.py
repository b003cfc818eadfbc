"""The Celery task that works on the outbox, and the wake-ups that start it."""

from celery import shared_task
from django.db import close_old_connections

from backends.valkey import server
from timelines.delivery import rounds

# A task ends after this time, so that a worker can take other tasks, or stop.
SHARE_SECONDS = 1.0
# The key exists while a wake-up is under way, so that a thousand posts send only one. It expires,
# because a wake-up can be lost.
WAKE_KEY, WAKE_SECONDS = "fan_out:wake", 2


def wake() -> None:
    """Send the workers a wake-up, unless one is under way. Raises Unavailable."""
    with server().connection() as connection:
        [is_first] = connection.ask(("SET", WAKE_KEY, 1, "NX", "EX", WAKE_SECONDS))
    if is_first:
        fan_out.delay()


def take_wake_up() -> None:
    """Record that a wake-up arrived: later commits need another. Raises Unavailable."""
    with server().connection() as connection:
        connection.ask(("DEL", WAKE_KEY))


# Acknowledged early: the work is in the outbox, not in the message, and a message that is held
# while Redis goes away can take its worker down.
@shared_task(name="timelines.fan_out", acks_late=False)
def fan_out() -> None:
    """Work on what is due, for SHARE_SECONDS. If this fails, a later sweep tries again."""
    close_old_connections()  # one may have broken since the last task
    take_wake_up()
    if rounds.drain(SHARE_SECONDS):
        wake()
