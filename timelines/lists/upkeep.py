"""Find, measure and drop the lists in Redis. All functions raise Unavailable."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from backends import identity
from backends.nodes import nodes
from backends.valkey import Command, Reply
from timelines.lists.entries import Entry, decode, decode_each
from timelines.lists.listed import Listed, Source
from timelines.lists.store import PREFIX, SUFFIX, list_key, reader_of, reading, slot, state_key

SCANNED_AT_ONCE = 1_000  # keys


def forget(reader_id: int) -> None:
    """Drop the reader's list and state. The next read rebuilds them."""
    with nodes().connection(slot(reader_id)) as connection:
        connection.ask(("UNLINK", list_key(reader_id), state_key(reader_id)))


def materialised() -> Iterator[int]:
    """Yield the ids of readers with a list, some perhaps twice. New ones may be missed."""
    servers = nodes()
    for address in servers.addresses():
        cursor = None
        while cursor != b"0":
            with servers.server(address).connection() as connection:
                scan = ("SCAN", cursor or b"0", "MATCH", f"{PREFIX}*{SUFFIX}")
                [answer] = connection.ask((*scan, "COUNT", SCANNED_AT_ONCE, "TYPE", "list"))
            cursor, keys = cast("tuple[bytes, list[bytes]]", answer)
            yield from map(reader_of, keys)


def memory_bytes(reader_id: int) -> int:
    """Return the bytes that the list and its state take, as the server reports them."""
    with nodes().connection(slot(reader_id)) as connection:
        return _sum(connection.ask(*_measuring(reader_id)))


class Inspected(NamedTuple):
    """A list, as it was read, and what a page does not need to know of it."""

    listed: Listed
    elements: Sequence[Entry | None]  # the newest push first; None is a mark or the placeholder
    marks: int
    expires_in_seconds: int  # -1: never
    memory_bytes: int

    def places(self, tweet_id: int) -> list[int]:
        """Return where the tweet's entries stand: the head of the list is 1."""
        return [
            place
            for place, entry in enumerate(self.elements, start=1)
            if entry and entry.tweet_id == tweet_id
        ]


def inspect(reader_id: int) -> Inspected | None:
    """Return the whole list, read at one moment, without renewing its expiry. None if absent."""
    servers, at = nodes(), slot(reader_id)
    measuring = _measuring(reader_id)
    commands = reading(reader_id, None, (*measuring, *servers.asks_identity))
    with servers.connection(at) as connection:
        *_, answer = connection.ask(*commands)
    elements, state, expiry, *others = cast("list[Reply]", answer)
    source = Source(at, identity.parse(others[len(measuring) :]))
    listed = Listed.parse([elements, state], None, source)
    if listed is None:
        return None
    encoded = cast("list[bytes]", elements)
    return Inspected(
        listed,
        elements=decode_each(encoded),
        marks=len(decode(encoded)[1]),
        expires_in_seconds=cast(int, expiry),
        memory_bytes=_sum(others[: len(measuring)]),
    )


def _measuring(reader_id: int) -> Sequence[Command]:
    keys = list_key(reader_id), state_key(reader_id)
    return [("MEMORY", "USAGE", key, "SAMPLES", 0) for key in keys]


def _sum(answers: Sequence[Reply]) -> int:
    return sum(used or 0 for used in cast("list[int | None]", answers))
