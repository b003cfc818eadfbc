"""Connections to Redis or Valkey servers.

A page spends most of its time on round trips, and each layer of a client library costs 20 to 40 us
when the processor's caches are cold. So a thread keeps one connection to each server, and hiredis
packs commands and parses replies without redis-py's layers.
"""

import os
import select
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import hiredis

from backends.address import Address
from backends.script import Script

# The longest wait for one reply: in a request, and in a round or a management command. Rounds send
# much more at once.
REQUEST_SECONDS = 0.3
ROUND_SECONDS = 2.5
BUFFER_BYTES = 65_536
MOST_OWED = 2  # a request asks early for its list, and for its limit
INCOMPLETE = object()

Command: TypeAlias = tuple[str | int | float | bytes, ...]
Reply: TypeAlias = "bytes | int | Refusal | list[Reply] | None"


class Refusal(NamedTuple):
    """An error reply. It is a value: one failed command of many must not hide other replies."""

    message: str


class CommandRefused(Exception):
    """The server answered a command with an error."""


def check(replies: Iterable[Reply]) -> None:
    """Raise CommandRefused if one is an error."""
    for reply in replies:
        if isinstance(reply, Refusal):
            raise CommandRefused(reply.message)


class Unavailable(Exception):
    """The server is down, frozen or full. It may have carried out a command nevertheless."""


def packed(commands: Sequence[Command]) -> bytes:
    """Return the commands as one buffer."""
    # hiredis's type stubs are narrower than what it accepts, here and below.
    return b"".join(map(hiredis.pack_command, commands))  # type: ignore[arg-type]


class Connection:
    """One connection to a server, in RESP2: each reply answers a command. Raises OSError."""

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self.is_new = True  # until it has answered a caller
        self._socket = address.connect(timeout_seconds)
        self.close = weakref.finalize(self, self._socket.close)  # also called when a thread ends
        self._decoder = hiredis.Reader(ConnectionError, Refusal, notEnoughData=INCOMPLETE)  # type: ignore[arg-type]
        self._buffer = bytearray(BUFFER_BYTES)
        self._rest = b""  # what `lines` has read too far
        self._loaded: set[str] = set()
        self._owed: deque[tuple[list[Reply], int]] = deque()
        self._process_id = os.getpid()
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        hello: list[Command] = [("AUTH", *address.credentials)] if address.credentials else []
        try:
            self.ask(*hello, ("SELECT", address.database))
        except CommandRefused as error:
            raise ConnectionError(str(error)) from error

    def ask(self, *commands: Command) -> list[Reply]:
        """Send the commands together, and return the replies. Raises CommandRefused, OSError."""
        self.send(packed(commands))
        answers = list(self.replies(len(commands)))
        check(answers)
        return answers

    def send(self, packed: bytes) -> None:
        """Send packed commands. `replies` reads what they return."""
        self._socket.sendall(packed)

    def ask_early(self, *commands: Command) -> list[Reply]:
        """Send the commands. The next `ask` or `catch_up` adds their replies to the list.

        If the request is refused, nobody reads them. So at most MOST_OWED calls are pending.
        """
        if len(self._owed) >= MOST_OWED:
            self.catch_up()
        self.send(packed(commands))
        replies: list[Reply] = []
        self._owed.append((replies, len(commands)))
        return replies

    def catch_up(self) -> None:
        """Read the replies that `ask_early` has promised. Raises OSError."""
        while self._owed:
            replies, count = self._owed.popleft()
            replies += self._take(count)

    def replies(self, count: int) -> Iterator[Reply]:
        """Yield the next replies; an error is a Refusal. Raises OSError."""
        self.catch_up()
        yield from self._take(count)

    def _take(self, count: int) -> Iterator[Reply]:
        gets = self._decoder.gets
        for _ in range(count):
            while (reply := gets()) is INCOMPLETE:
                self._receive()
            yield reply

    def lines(self, count: int) -> list[bytes]:
        """Return the next replies, each of which is one line: b":3", or b"-ERR" and a text.

        Not to decode them saves two thirds of the time. Call `catch_up` before their commands are
        sent, so that nothing else arrives with them. Raises OSError.
        """
        assert not self._owed
        assert not self._decoder.has_data()
        lines: list[bytes] = []
        rest = b""
        while len(lines) < count:
            arrived = (rest + self._arrived()).split(b"\r\n", count - len(lines))
            rest = arrived.pop()
            lines += arrived
        self._rest = rest
        return lines

    def _receive(self) -> None:
        """Feed what has arrived to the decoder. Raises OSError."""
        self._decoder.feed(self._arrived())  # type: ignore[arg-type]

    def _arrived(self) -> bytes | memoryview:
        """Return the next bytes, which the next call may overwrite. Raises OSError."""
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        length = self._socket.recv_into(self._buffer)
        if not length:
            raise ConnectionResetError("the server closed the connection")
        return memoryview(self._buffer)[:length]

    def script(self, script: Script, keys: Sequence[str], *arguments: str | int | bytes) -> Command:
        """Return the command, for `ask`, that runs the script."""
        if script.sha not in self._loaded:
            self.ask(("SCRIPT", "LOAD", script.source))
            self._loaded.add(script.sha)
        return ("EVALSHA", script.sha, len(keys), *keys, *arguments)

    def is_ready(self, timeout_seconds: float) -> bool:
        """Set the timeout. Return False if the server hung up: a live one sends nothing unasked."""
        self._socket.settimeout(timeout_seconds)
        is_silent = self.is_owed or not self._poll.poll(0)
        return self._process_id == os.getpid() and is_silent

    @property
    def is_owed(self) -> bool:
        """Whether replies to `ask_early` are still to be read."""
        return bool(self._owed)
