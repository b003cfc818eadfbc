"""The current state for operators, as Postgres and the broker report it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from celery import current_app
from kombu import Connection
from kombu.exceptions import OperationalError

from backends.postgres import binary_cursor
from backends.refreshed import Refreshed
from backends.slots import SLOTS
from timelines.signs import MOST_COUNTED, OLDEST, SEEN, SWEEP

ANSWER_SECONDS = 1.0  # in which workers answer
WORKERS_SECONDS = 10.0  # for which their number is remembered, as asking takes ANSWER_SECONDS

# Postgres counts the rows that are inserted and deleted, and reports them within a second or so.
GLANCE = f"""
    SELECT extract(epoch FROM clock_timestamp())::float, oldest.*,
        (SELECT count(*) FROM timelines_flag WHERE done_at IS NULL),
        (SELECT coalesce(sum(last_slot + 1 - first_slot), 0) FROM timelines_admission
            WHERE identity <> ''),
        ({SEEN}),
        (SELECT n_tup_ins FROM pg_stat_user_tables WHERE relid = 'tweets_tweet'::regclass),
        (SELECT n_tup_del FROM pg_stat_user_tables WHERE relid = 'timelines_fanout'::regclass)
    FROM (
        SELECT count(*), count(*) FILTER (WHERE attempts > 0),
            extract(epoch FROM clock_timestamp() - min(created_at))::float
        FROM ({OLDEST}) AS row
    ) AS oldest
"""  # noqa: S608 (joined from constants)


class Glance(NamedTuple):
    """Figures that are cheap to ask for every few seconds. Two of these give the rates."""

    at: float  # seconds, by Postgres's clock
    pending: int  # rows of the outbox, up to MOST_COUNTED
    failing: int  # of these
    oldest_seconds: float | None
    flags: int
    admitted_slots: int
    swept_seconds: float | None
    posted: int  # tweets, since Postgres began to count
    done: int  # rows of the outbox, likewise
    most_counted: int = MOST_COUNTED
    slots: int = SLOTS


def glance() -> Glance:
    """Return the state according to Postgres, with one statement."""
    with binary_cursor() as cursor:
        # A plan that was made while the outbox was empty would scan it.
        row = cursor.execute(GLANCE, [SWEEP], prepare=False).fetchone()
    return Glance(*(row or ()))


def broker_status() -> tuple[list[str], int]:
    """Return the names of the workers that answer, and the number of wake-ups in the queue.

    Raises kombu's OperationalError.
    """
    with connected() as connection:
        answers = current_app.control.ping(timeout=ANSWER_SECONDS, connection=connection) or []
        queue = current_app.amqp.queues[current_app.conf.task_default_queue]
        declared: Any = queue(connection.channel()).queue_declare()
    return sorted(name for answer in answers for name in answer), declared.message_count


@contextmanager
def connected() -> Iterator[Connection]:
    """Yield a connection to the broker, which is tried once. Raises kombu's OperationalError."""
    with current_app.connection_for_read() as connection:
        try:
            yield connection.ensure_connection(max_retries=0)
        except (*connection.connection_errors, *connection.channel_errors) as error:
            raise OperationalError(str(error)) from error


@cache
def workers() -> Refreshed[list[str] | None]:
    """Return the names of the workers that answered recently. None if the broker fails."""
    return Refreshed(_workers, first=None, seconds=WORKERS_SECONDS)


def _workers() -> list[str] | None:
    try:
        names, _ = broker_status()
    except OperationalError:
        return None
    return names
