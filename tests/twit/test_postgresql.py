"""The database engine detects closed connections."""

import pytest
from django.db import close_old_connections, connection

from tests.psql import psql

pytestmark = pytest.mark.django_db(transaction=True)


def backend_pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone() or []
    return int(pid)


def test_a_connection_that_the_server_closed_is_replaced_before_use() -> None:
    first = backend_pid()
    close_old_connections()  # as a new request does
    assert backend_pid() == first
    close_old_connections()
    psql(f"SELECT pg_terminate_backend({first}, 5000)")
    assert backend_pid() != first


def test_a_dead_connection_is_not_usable() -> None:
    first = backend_pid()
    assert connection.is_usable()
    psql(f"SELECT pg_terminate_backend({first}, 5000)")
    assert not connection.is_usable()
    connection.close()
    assert not connection.is_usable()
