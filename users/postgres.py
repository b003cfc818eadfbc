"""The way to Postgres of the statements that are written by hand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from psycopg import RawCursor
from psycopg.pq import Format

_thread = threading.local()


def connect() -> None:
    """Make sure of this thread's connection to Postgres; a lasting one is looked at, not asked."""
    connection.close_if_health_check_failed()
    connection.ensure_connection()


@contextmanager
def binary_cursor() -> Iterator[RawCursor[tuple[Any, ...]]]:
    """The connection's one cursor for statements with Postgres's own `$1`, `$2`, ...

    psycopg's: it does without the layers of Django's cursor, a tenth of a page's time, and values
    come in binary, so nothing has to be parsed; Django parses times in Python, 100 us for 20
    tweets. Raises Django's database errors.
    """
    connect()
    raw = connection.connection
    cursor: RawCursor[tuple[Any, ...]] | None = getattr(_thread, "cursor", None)
    if cursor is None or cursor.connection is not raw:  # to make one takes 20 us
        cursor = _thread.cursor = RawCursor(raw)
        cursor.format = Format.BINARY
    with connection.wrap_database_errors:
        yield cursor
