"""Ports for servers that start later."""

import socket

from twit.local.net import LOOPBACK, free_port

SOURCEPORTS = 32_768  # of connections begin here, unless Linux is told otherwise


def test_no_port_is_given_twice() -> None:
    given = [free_port() for _ in range(200)]
    assert len(set(given)) == len(given)


def test_no_connection_takes_the_port_meanwhile() -> None:
    assert all(free_port() < SOURCEPORTS for _ in range(100))


def test_a_wanted_port_is_given_again_unless_it_is_in_use() -> None:
    wanted = free_port()
    assert free_port(wanted) == wanted
    with socket.create_server((LOOPBACK, wanted)):
        assert free_port(wanted) != wanted
    assert free_port(wanted) == wanted
