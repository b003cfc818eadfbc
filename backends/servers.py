"""Redis or Valkey servers as this process sees them: whether they answer, and its connections."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeAlias

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from backends import metrics
from backends.address import Address
from backends.breaker import Breaker
from backends.valkey import REQUEST_SECONDS, CommandRefused, Connection, Unavailable

BREAKER_SECONDS = 2.0
Connect: TypeAlias = Callable[[Address, float], Connection]


class _Thread(threading.local):
    connection: Connection | None = None


class Server:
    """A server with a circuit breaker and one connection per thread and process."""

    # How long this process waits for a reply, unless it says otherwise.
    patience_seconds = REQUEST_SECONDS

    def __init__(self, address: Address, connect: Connect = Connection) -> None:
        self.address = address
        self._connect = connect
        self.breaker = Breaker(BREAKER_SECONDS, address.node)
        self._thread = _Thread()

    @contextmanager
    def connection(
        self, timeout_seconds: float | None = None, *, tries: bool = True
    ) -> Iterator[Connection]:
        """Yield this thread's connection. Raises Unavailable.

        With `tries` off, this caller never tries a server that did not answer; others do.
        An exception in the block closes the connection: replies that were not read must not
        answer the next command. A new connection that fails trips the breaker. If an older one
        does, perhaps only that connection was lost, and the next caller tries a new one. A trial of
        the breaker waits here for its replies, even if it has asked early.
        """
        is_trial = not self.breaker.is_closed
        if not (self.breaker.lets_through() if tries else self.breaker.is_closed):
            raise Unavailable("Redis did not answer a moment ago")
        connection = None
        try:
            connection = self._open(timeout_seconds or self.patience_seconds)
            try:
                yield connection
                if is_trial:
                    connection.catch_up()
            except BaseException:
                self._thread.connection = None
                connection.close()
                raise
        except OSError as error:
            metrics.VALKEY_ERRORS.labels(self.address.node, "silent").inc()
            if connection is None or connection.is_new:
                self.breaker.trip()
            raise Unavailable(str(error)) from error
        except CommandRefused as error:  # out of memory, read-only, ...
            metrics.VALKEY_ERRORS.labels(self.address.node, "refused").inc()
            self.breaker.reset()
            raise Unavailable(str(error)) from error
        if not connection.is_owed:  # otherwise it is not known to answer
            connection.is_new = False
            self.breaker.reset()

    def _open(self, timeout_seconds: float) -> Connection:
        connection = self._thread.connection
        if connection is None or not connection.is_ready(timeout_seconds):
            self._thread.connection = None  # its destruction closes it
            connection = self._thread.connection = self._connect(self.address, timeout_seconds)
        return connection


@cache
def server_at(url: str, connect: Connect) -> Server:
    """Return the process's one Server for that URL and kind of connection. Raises ValueError."""
    return Server(Address.parse(url), connect)


def server(setting: str) -> Server:
    """Return the server that the setting names. Raises ImproperlyConfigured if it names none."""
    url = getattr(settings, setting)
    if not url:
        raise ImproperlyConfigured(settings.NO_SERVERS)
    return server_at(url, Connection)
