"""Reading many lists at once, and learning when they change."""

import select
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import cast

from backends import identity
from backends.address import Address
from backends.nodes import nodes
from backends.tracking import Tracking
from backends.valkey import Connection, Reply, Unavailable
from timelines.lists import store
from timelines.lists.listed import Listed, Source


class Watch:
    """The lists that one thread has read. A list is watched from a read to its next change."""

    def __init__(self) -> None:
        self._readers: dict[Tracking, set[int]] = {}  # whose lists a connection watches
        self._nodes = nodes(self._connect)

    def _connect(self, address: Address, timeout_seconds: float) -> Connection:
        connection = Tracking(address, timeout_seconds)
        self._readers[connection] = set()
        return connection

    def read(self, reader_ids: Iterable[int], newest: int) -> Iterator[tuple[int, Listed | None]]:
        """Yield the readers with the newest part of their lists, and watch the lists.

        A list is None if it is absent, or if its server does not answer. Then it is not watched.
        """
        shares: dict[str, list[int]] = defaultdict(list)
        for reader_id in reader_ids:
            try:
                shares[self._nodes.address(store.slot(reader_id))].append(reader_id)
            except Unavailable:
                yield reader_id, None
        for readers in shares.values():
            try:
                yield from self._read(readers, newest)
            except Unavailable:
                yield from ((reader_id, None) for reader_id in readers)

    def _read(self, readers: Sequence[int], newest: int) -> list[tuple[int, Listed | None]]:
        """Read the lists of readers who have the same server.

        The identity that is asked at the end serves for all of them. Identities never recur. If
        the server became the admitted one after a list was read, that list was built earlier, and
        under another generation.
        """
        asks_identity = self._nodes.asks_identity
        with self._nodes.connection(store.slot(readers[0])) as connection:
            commands = [store.reading(reader_id, newest) for reader_id in readers]
            replies = connection.ask(*chain.from_iterable(commands), *asks_identity)
            asked = len(commands[0])
            answers = cast("list[list[Reply]]", replies[asked - 1 : asked * len(readers) : asked])
            if due := store.renewal(readers, answers):
                connection.ask(*due)
            assert isinstance(connection, Tracking)
            self._readers[connection].update(readers)
        found = identity.parse(replies[-len(asks_identity) :])
        return [
            (reader_id, Listed.parse(answer, newest, Source(store.slot(reader_id), found)))
            for reader_id, answer in zip(readers, answers, strict=True)
        ]

    def wait(self, milliseconds: int | None, others: Sequence[int] = ()) -> None:
        """Wait until a server sends something, or one of the file descriptors is readable.

        Return at the latest after that time.
        """
        if any(connection.has_changed for connection in self._readers):
            return  # it arrived while lists were read
        poll = select.poll()
        for descriptor in (*others, *(c.fileno() for c in self._readers if not c.is_closed)):
            poll.register(descriptor, select.POLLIN)
        poll.poll(milliseconds)

    def changed(self) -> Iterator[int]:
        """Yield the readers whose lists have changed since they were read, or may have."""
        for connection in list(self._readers):
            with suppress(OSError):
                if not connection.is_closed:
                    connection.listen()
                    yield from self._take(connection)
                    continue
            yield from self._readers.pop(connection)

    def _take(self, connection: Tracking) -> Iterator[int]:
        """Yield the readers of a live connection whose lists have changed."""
        readers, keys = self._readers[connection], connection.take_changed()
        if keys is None:
            yield from list(readers)
            readers.clear()
        for key in keys or []:
            reader_id = store.reader_of(key)
            if reader_id in readers:
                readers.remove(reader_id)
                yield reader_id
