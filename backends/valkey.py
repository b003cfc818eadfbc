"""Connections to Redis or Valkey servers.

A page spends most of its time on round trips, and each layer of a client library costs 20 to 40 us
when the processor's caches are cold. So a thread keeps one connection to each server, and hiredis
packs commands and parses replies without redis-py's layers.
"""

import os
import select
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha1
from typing import NamedTuple, TypeAlias

import hiredis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from backends.address import Address
from backends.breaker import Breaker

# A request waits no longer than this for one reply. Workers, which send whole rounds, wait longer.
REQUEST_SECONDS = 0.3
ROUND_SECONDS = 2.5
BREAKER_SECONDS = 2.0
BUFFER_BYTES = 65_536
_INCOMPLETE = object()

Command: TypeAlias = tuple[str | int | float | bytes, ...]
Reply: TypeAlias = "bytes | int | Refusal | list[Reply] | None"


class Refusal(NamedTuple):
    """An error reply. It is a value: one failed command of many must not hide other replies."""

    message: str


class CommandRefused(Exception):
    """The server answered a command with an error."""


class Unavailable(Exception):
    """The server is down, frozen or full. It may have carried out a command nevertheless."""


class Script:
    """A Lua script. Each connection loads it into its server before the first use."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()


class Connection:
    """One connection to a server, in RESP2: each reply answers a command. Raises OSError."""

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self.is_new = True  # until it has answered its user
        self._socket = address.connect(timeout_seconds)
        self.close = weakref.finalize(self, self._socket.close)  # also called when a thread ends
        # hiredis's type stubs are narrower than what it accepts, here and below.
        self._decoder = hiredis.Reader(ConnectionError, Refusal, notEnoughData=_INCOMPLETE)  # type: ignore[arg-type]
        self._buffer = bytearray(BUFFER_BYTES)
        self._loaded: set[str] = set()
        self._process_id = os.getpid()
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        hello: list[Command] = [("AUTH", *address.credentials)] if address.credentials else []
        try:
            *_, info = self.ask(*hello, ("SELECT", address.database), ("INFO", "server"))
        except CommandRefused as error:
            raise ConnectionError(str(error)) from error
        assert isinstance(info, bytes)
        # The id of the server process.
        self.run_id = next(x for x in info.splitlines() if x.startswith(b"run_id:"))[7:]

    def ask(self, *commands: Command, meanwhile: Callable[[], object] | None = None) -> list[Reply]:
        """Send the commands as one buffer and return their replies. Raises CommandRefused, OSError.

        `meanwhile` is called while the server works.
        """
        self.send(b"".join(map(hiredis.pack_command, commands)))  # type: ignore[arg-type]
        if meanwhile:
            meanwhile()
        answers = list(self.replies(len(commands)))
        for answer in answers:
            if isinstance(answer, Refusal):
                raise CommandRefused(answer.message)
        return answers

    def send(self, packed: bytes) -> None:
        """Send commands that are packed already; `replies` reads what they return."""
        self._socket.sendall(packed)

    def replies(self, count: int) -> Iterator[Reply]:
        """Yield the next replies; an error is a Refusal. Raises OSError."""
        gets, buffer = self._decoder.gets, self._buffer
        for _ in range(count):
            while (reply := gets()) is _INCOMPLETE:
                length = self._socket.recv_into(buffer)
                if not length:
                    raise ConnectionResetError("the server closed the connection")
                self._decoder.feed(buffer, 0, length)  # type: ignore[arg-type]
            yield reply

    def script(self, script: Script, keys: Sequence[str], *arguments: str | int | bytes) -> Command:
        """Return the command, for `ask`, that runs the script."""
        if script.sha not in self._loaded:
            self.ask(("SCRIPT", "LOAD", script.source))
            self._loaded.add(script.sha)
        return ("EVALSHA", script.sha, len(keys), *keys, *arguments)

    def is_ready(self, timeout_seconds: float) -> bool:
        """Set the timeout. Return False if the server hung up: a live one sends nothing unasked."""
        self._socket.settimeout(timeout_seconds)
        return self._process_id == os.getpid() and not self._poll.poll(0)


class _Thread(threading.local):
    connection: Connection | None = None


class Server:
    """A server with a circuit breaker and one connection per thread and process."""

    def __init__(self, url: str) -> None:
        self.address = Address.parse(url)
        self.breaker = Breaker(BREAKER_SECONDS)
        self._thread = _Thread()

    @contextmanager
    def connection(self, timeout_seconds: float = REQUEST_SECONDS) -> Iterator[Connection]:
        """Yield this thread's connection. Raises Unavailable.

        An exception in the block closes the connection: replies that were not read must not
        answer the next command. A new connection that fails trips the breaker. If an older one
        does, perhaps only that connection was lost, and the next caller tries a new one.
        """
        if not self.breaker.lets_through():
            raise Unavailable("Redis did not answer a moment ago")
        connection = None
        try:
            connection = self._open(timeout_seconds)
            try:
                yield connection
            except BaseException:
                self._thread.connection = None
                connection.close()
                raise
        except OSError as error:
            if connection is None or connection.is_new:
                self.breaker.trip()
            raise Unavailable(str(error)) from error
        except CommandRefused as error:  # out of memory, read-only, ...
            self.breaker.reset()
            raise Unavailable(str(error)) from error
        connection.is_new = False
        self.breaker.reset()

    def _open(self, timeout_seconds: float) -> Connection:
        connection = self._thread.connection
        if connection is None or not connection.is_ready(timeout_seconds):
            self._thread.connection = None  # its destruction closes it
            connection = self._thread.connection = Connection(self.address, timeout_seconds)
        return connection


@cache
def server_at(url: str) -> Server:
    """Return the process's one Server for that URL. Raises ValueError."""
    return Server(url)


def server(setting: str = "REDIS_URL") -> Server:
    """Return the server that the setting names. Raises ImproperlyConfigured if it names none."""
    url = getattr(settings, setting)
    if not url:
        raise ImproperlyConfigured(settings.NO_SERVERS)
    return server_at(url)
