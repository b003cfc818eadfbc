"""The Celery task that works on the outbox, the wake-ups that start it, and the heartbeat."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import cache

from celery import current_app, shared_task
from django.db import close_old_connections
from kombu.exceptions import OperationalError

from backends import metrics
from backends.servers import server
from backends.valkey import REQUEST_SECONDS, Unavailable
from timelines.delivery import admitting, rounds
from timelines.signs import HEARTBEAT

# A task ends after this time, so that a worker can take other tasks, or stop.
SHARE_SECONDS = 1.0
# The key exists while a wake-up is under way, so that a thousand posts send only one. It expires,
# because a wake-up can be lost.
WAKE_KEY, WAKE_SECONDS = "fan_out:wake", 2


def wake() -> None:
    """Send the workers a wake-up, unless one is under way. Raises Unavailable.

    Waits up to REQUEST_SECONDS for the broker. A wake-up that takes longer, such as the first one
    on a slow connection, continues in the background.
    """
    with server("LIMITS_URL").connection() as connection:
        [is_first] = connection.ask(("SET", WAKE_KEY, 1, "NX", "EX", WAKE_SECONDS))
    if not is_first:
        metrics.WAKE_UPS.labels("under way").inc()
        return
    try:
        _sender(os.getpid()).submit(copy_context().run, _send).result(REQUEST_SECONDS)
        metrics.WAKE_UPS.labels("sent").inc()
    except TimeoutError:
        metrics.WAKE_UPS.labels("late").inc()
        raise Unavailable("the broker is slow to accept a wake-up") from None
    except _failures() as error:
        metrics.WAKE_UPS.labels("failed").inc()
        raise Unavailable(f"the broker failed: {error}") from error


def _failures() -> tuple[type[BaseException], ...]:
    """Return what is raised when the broker does not answer, or refuses a password or a command."""
    return OperationalError, *current_app.connection_for_write().channel_errors


@cache
def _sender(process_id: int) -> ThreadPoolExecutor:
    """Return the thread that talks to the broker. A forked process needs its own."""
    return ThreadPoolExecutor(1, "wake-up")


def _send() -> None:
    try:
        fan_out.delay()
    except OperationalError:
        # The broker may have restarted or become a replica. A new connection may succeed.
        current_app.pool.force_close_all(close_pool=False)  # type: ignore[attr-defined]
        fan_out.delay()


def take_wake_up() -> None:
    """Record that a wake-up arrived: later commits need another. Raises Unavailable."""
    with server("LIMITS_URL").connection() as connection:
        connection.ask(("DEL", WAKE_KEY))
    metrics.WAKE_UPS_TAKEN.inc()


# Acknowledged early: the work is in the outbox, not in the message, and a worker can fail if Redis
# disappears while it holds a message.
@shared_task(name="timelines.fan_out", acks_late=False)
def fan_out() -> None:
    """Work on what is due, for SHARE_SECONDS. If this fails, a later sweep tries again."""
    close_old_connections()  # one may have broken since the last task
    take_wake_up()
    if rounds.drain(SHARE_SECONDS, share=_wake_another):
        wake()


@shared_task(name="timelines.heartbeat", expires=60)  # so that none pile up
def heartbeat() -> None:
    """Record that a task of the scheduler reached a worker. `manage.py check_beat` reads it."""
    close_old_connections()
    admitting.see(HEARTBEAT)
    admitting.forget_hosts()


def _wake_another() -> None:
    """Have one more worker take part in a long fan-out. It wakes the next one in the same way."""
    with suppress(Unavailable):  # the sweeps of other workers will find the ranges
        wake()
