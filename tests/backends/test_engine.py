"""The database engine: limits of waiting, connections that are closed or can't write."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import OperationalError, close_old_connections, connection

from backends.engine.base import DatabaseWrapper
from backends.engine.patience import COMMAND, REQUEST, WORKER, Patience
from tests.psql import psql
from tests.stack import wait_until
from twit.local import postgres

pytestmark = pytest.mark.django_db(transaction=True)


def backend_pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone() or []
    return int(pid)


def test_a_connection_that_the_server_closed_is_replaced_before_use() -> None:
    connection.close()  # so that it is not too old
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


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """options(limits, **more) reconnects with these limits and parameters of DATABASE_URL."""

    def set_options(limits: Patience, **more: str) -> None:
        monkeypatch.setattr(DatabaseWrapper, "patience", limits)
        given = connection.settings_dict["OPTIONS"] | more
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", given)
        connection.close()

    yield set_options
    connection.close()


def setting(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        [value] = cursor.fetchone() or []
    return str(value)


@pytest.mark.parametrize(
    ("limits", "statement", "lock", "idle"),
    [(REQUEST, "4s", "2s", "10s"), (WORKER, "4s", "4s", "10s"), (COMMAND, "0", "10s", "1min")],
)
def test_each_kind_of_process_has_limits_of_its_own(
    options: Callable[..., None], limits: Patience, statement: str, lock: str, idle: str
) -> None:
    options(limits)
    assert setting("statement_timeout") == statement
    assert setting("lock_timeout") == lock
    assert setting("idle_in_transaction_session_timeout") == idle


def test_options_of_the_url_win(options: Callable[..., None]) -> None:
    options(REQUEST, options="-c lock_timeout=77", connect_timeout="9")
    assert setting("lock_timeout") == "77ms"
    assert setting("statement_timeout") == "4s"
    assert connection.get_connection_params()["connect_timeout"] == "9"


def test_a_reply_that_does_not_come_closes_the_connection(options: Callable[..., None]) -> None:
    """A frozen server ends no statement; here a limit of the URL plays that part."""
    options(REQUEST._replace(statement=0.5), options="-c statement_timeout=0")
    started = time.monotonic()
    with pytest.raises(OperationalError, match="did not answer"), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(9)")
    assert time.monotonic() - started < 8
    assert not connection.is_usable()
    close_old_connections()
    assert setting("lock_timeout") == "2s"
    wait_until(lambda: not is_sleeping())  # the database is dropped at the end of the run


def is_sleeping() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        return bool(cursor.fetchall())


def test_a_connection_to_a_read_only_server_is_not_usable(options: Callable[..., None]) -> None:
    options(REQUEST, options="-c default_transaction_read_only=on")
    connection.ensure_connection()
    assert not connection.is_usable()


def test_of_several_hosts_the_one_that_takes_writes_is_used(options: Callable[..., None]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="twit-tests-"))
    folder.chmod(0o755)
    password = connection.settings_dict["PASSWORD"]
    log = folder / "log"
    replica, url = postgres.start(
        folder / "replica", password=password, log=log, durable=False, creates_databases=True
    )
    try:
        port = url.rpartition(":")[2].partition("/")[0]
        server = url.rpartition("/")[0]
        with psycopg.connect(f"{server}/postgres", autocommit=True) as administrator:
            name = connection.settings_dict["NAME"]
            administrator.execute(f'CREATE DATABASE "{name}"')
            administrator.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        primary = connection.settings_dict["PORT"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(connection.settings_dict, "HOST", "127.0.0.1,127.0.0.1")
            patch.setitem(connection.settings_dict, "PORT", f"{port},{primary}")
            options(REQUEST)
            assert setting("port") == str(primary)
            assert setting("transaction_read_only") == "off"
            connection.close()
    finally:
        replica.stop()
        shutil.rmtree(folder)


def test_both_sides_give_up_on_packets_that_nobody_acknowledges() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW tcp_user_timeout")
        [(server,)] = cursor.fetchall()
    client = connection.connection.info.get_parameters()
    assert (server, client["tcp_user_timeout"]) == ("30000", "30000")
    probes = [client[f"keepalives_{name}"] for name in ("idle", "interval", "count")]
    assert probes == ["5", "1", "2"]
