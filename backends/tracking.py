"""Connections over which a server reports that keys have changed.

This is client-side caching (https://valkey.io/topics/client-side-caching/) in RESP3: the server
remembers which keys a connection has read. When it changes or forgets one of them, it sends one
invalidation over the same connection. An invalidation that arrives after the reply to a read is of
a change after that read.
"""

import os
from collections.abc import Iterator
from typing import cast

import hiredis

from backends.address import Address
from backends.valkey import INCOMPLETE, CommandRefused, Connection, Reply


class Tracking(Connection):
    """A connection that collects the names of the keys that have changed since it read them."""

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self._changed: list[bytes] | None = []  # None: all of them
        super().__init__(address, timeout_seconds)
        try:
            self.ask(("HELLO", 3), ("CLIENT", "TRACKING", "ON"))
        except CommandRefused as error:
            raise ConnectionError(str(error)) from error

    def fileno(self) -> int:
        """Return the file descriptor, which is readable when the server has sent something."""
        return self._socket.fileno()

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed, so that no more invalidations arrive."""
        return not self.close.alive

    @property
    def has_changed(self) -> bool:
        """Whether `take_changed` has something to return."""
        return self._changed != []

    def replies(self, count: int) -> Iterator[Reply]:
        """Yield the next replies, without invalidations in between. Raises OSError."""
        left = count
        while left:
            expected, left = left, 0
            for reply in super().replies(expected):
                if isinstance(reply, hiredis.PushNotification):
                    self._note(reply)
                    left += 1
                else:
                    yield reply
        self._note_rest()  # it may have arrived together with the last reply

    def is_ready(self, timeout_seconds: float) -> bool:
        """Set the timeout. Return False if the server hung up. Invalidations may have arrived."""
        self._socket.settimeout(timeout_seconds)
        try:
            self.listen()
        except OSError:
            return False
        return self._process_id == os.getpid()

    def listen(self) -> None:
        """Read the invalidations that have arrived, without waiting. Raises OSError."""
        while self._poll.poll(0):
            self._receive()
            self._note_rest()

    def take_changed(self) -> list[bytes] | None:
        """Return the keys that have changed since the last call, None if all of them may have."""
        changed, self._changed = self._changed, []
        return changed

    def _note_rest(self) -> None:
        while (said := self._decoder.gets()) is not INCOMPLETE:
            self._note(said)

    def _note(self, said: object) -> None:
        kind, keys = cast("tuple[bytes, list[bytes] | None]", said)
        if kind == b"invalidate":
            known = self._changed
            self._changed = None if keys is None or known is None else known + keys
