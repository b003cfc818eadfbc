"""Connections over which a real server tells that keys have changed."""

import threading
from collections.abc import Iterator

import pytest
from django.conf import settings

from backends.address import Address
from backends.servers import Server
from backends.tracking import Tracking
from backends.valkey import packed
from tests.stack import wait_until
from tests.valkey import client


@pytest.fixture
def tracking() -> Iterator[Tracking]:
    connection = Tracking(Address.parse(settings.REDIS_URL), 5)
    yield connection
    connection.close()


def told(tracking: Tracking) -> list[bytes] | None:
    """Return what the server has said until now."""
    tracking.ask(("PING",))
    return tracking.take_changed()


def test_a_key_that_was_read_and_changes_is_told_once(tracking: Tracking) -> None:
    tracking.ask(("GET", "here"))
    assert told(tracking) == []
    client().set("here", "yes")
    client().set("here", "again")
    assert told(tracking) == [b"here"]
    assert told(tracking) == []


def test_a_key_that_was_absent_when_it_was_read_is_told(tracking: Tracking) -> None:
    tracking.ask(("MULTI",), ("LRANGE", "here", 0, -1), ("EXEC",))
    client().lpush("here", "a")
    assert told(tracking) == [b"here"]


def test_a_key_that_expires_is_told(tracking: Tracking) -> None:
    tracking.ask(("SET", "here", "yes", "PX", 20), ("GET", "here"))
    wait_until(lambda: told(tracking) == [b"here"])


def test_a_change_right_after_a_read_is_told_without_another_word(tracking: Tracking) -> None:
    """Reply and message arrive together. Nothing else makes the connection readable."""
    tracking.send(packed([("GET", "here"), ("GET", "there")]))
    wait_until(lambda: any(c["tot-cmds"] == "6" for c in client().client_list()), 5)
    client().set("there", "yes")
    assert [*tracking.replies(2)] == [None, None]
    tracking.listen()
    assert tracking.take_changed() == [b"there"]


def test_a_change_between_two_replies_is_told(tracking: Tracking) -> None:
    tracking.ask(("GET", "here"))
    client().set("here", "yes")
    assert tracking.ask(("GET", "there"), ("GET", "here")) == [None, b"yes"]
    assert tracking.take_changed() == [b"here"]


@pytest.mark.parametrize("command", ["FLUSHDB", "FLUSHALL"])
def test_an_emptied_server_tells_that_all_may_have_changed(
    tracking: Tracking, command: str
) -> None:
    tracking.ask(("GET", "here"))
    client().execute_command(command)
    assert told(tracking) is None
    assert told(tracking) == []


def test_a_killed_connection_is_not_ready(tracking: Tracking) -> None:
    client().client_kill_filter(_id=str(tracking.ask(("CLIENT", "ID"))[0]))
    wait_until(lambda: not tracking.is_ready(5), 5)
    with pytest.raises(OSError):
        tracking.listen()


def test_a_connection_that_is_told_something_stays_ready(tracking: Tracking) -> None:
    tracking.ask(("GET", "here"))
    client().set("here", "yes")
    assert tracking.is_ready(5)
    assert tracking.take_changed() == [b"here"]


def test_a_connection_that_is_told_much_all_the_time_is_not_replaced() -> None:
    server, over = Server(Address.parse(settings.REDIS_URL), Tracking), threading.Event()

    def change() -> None:
        while not over.is_set():
            client().set("here", "yes")

    writer = threading.Thread(target=change)
    writer.start()
    try:
        with server.connection() as first:
            first.ask(("GET", "here"))
        for _ in range(3_000):
            with server.connection() as connection:
                assert connection is first
                connection.ask(("GET", "here"))
    finally:
        over.set()
        writer.join()
