"""Home timelines in Redis: read and rebuild them. Functions that ask Redis raise Unavailable.

Each reader has two keys. The list holds encoded entries, the newest push first. It also holds an
empty string as a placeholder, because Redis deletes a list that becomes empty. There is a mark
about every MARK_SPACING elements: no entry after it has a higher tweet id than the mark says, so
the newest part of a list can be read alone.

The state is a hash. During a rebuild it holds `token` and `busy_until` (the server's clock, in
seconds); after it, `version`, the `follows_version` that the list was built from, and `generation`,
the server's admission at that time. It always holds `floor`: the list is complete for ids above it.
"""

import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from backends import identity
from backends.nodes import Nodes, nodes
from backends.script import Script
from backends.valkey import Command, Reply, check
from timelines.lists.entries import Entry, mark
from timelines.lists.listed import Listed, Source

PREFIX, SUFFIX = "home:{", "}"  # of a list's key, around the reader's id
CAP = 800  # elements that a cut leaves: entries, marks and the placeholder
MARK_SPACING = 80  # elements; a list is tended whenever its length is a multiple of this
EXPIRY_SECONDS = 30 * 24 * 3600  # after a read by the owner
# A read renews the expiry if the last renewal was that long ago. More often would be a waste, and a
# renewal counts as a change: it would wake the streams that watch the list.
RENEWAL_SECONDS = 24 * 3600
ABSENT = -2  # the expiry of a key that does not exist, as TTL returns it
# A rebuild blocks others for at most this long. It takes far less, and a crashed one does not block
# the next for long.
REBUILD_SECONDS = 10


def slot(reader_id: int) -> int:
    """Return the slot of the reader's keys."""
    return nodes().slot(reader_id)


def list_key(reader_id: int) -> str:
    """Return the key of the reader's list. Its braces put both keys into one cluster slot."""
    return f"{PREFIX}{reader_id}{SUFFIX}"


def state_key(reader_id: int) -> str:
    """Return the key of the reader's state."""
    return f"{list_key(reader_id)}:state"


def reader_of(key: bytes) -> int:
    """Return the reader whose list or state has that key."""
    return int(key[len(PREFIX) : key.index(SUFFIX.encode())])


def script(name: str) -> Script:
    """Return the Lua script of that name."""
    return Script((Path(__file__).parent / "lua" / f"{name}.lua").read_text())


BEGIN, FINISH = script("begin"), script("finish")


def most_entries() -> int:
    """Return how many entries a rebuilt list may hold: CAP less the placeholder and marks."""
    return max(1, (CAP - 1) * MARK_SPACING // (MARK_SPACING + 1))


class EarlyRead(NamedTuple):
    """A read that has begun: what was asked, of which server, and a list for the replies."""

    reader_id: int
    newest: int | None
    servers: Nodes
    replies: list[Reply]


def begin_read(reader_id: int, newest: int | None = None) -> EarlyRead:
    """Begin to read the reader's list and state. `newest` limits it to that many elements."""
    servers = nodes()
    at = servers.slot(reader_id)
    with servers.connection(at) as connection:
        commands = reading(reader_id, newest, servers.asks_identity)
        return EarlyRead(reader_id, newest, servers, connection.ask_early(*commands))


def finish_read(begun: EarlyRead, *, renew: bool = True) -> Listed | None:
    """Return the list that was read. None if it or its state is absent.

    `renew` renews the expiry of both keys if that is due, as a read by the owner does.
    """
    reader_id, newest, servers, replies = begun
    at = servers.slot(reader_id)
    with servers.connection(at) as connection:
        connection.catch_up()
        check(replies)
        if not replies:  # their connection was lost
            replies = connection.ask(*reading(reader_id, newest, servers.asks_identity))
        answer = replies[-1]
        if renew and (due := renewal([reader_id], [answer])):
            connection.ask(*due)
    found = cast("list[Reply]", answer)
    source = Source(at, identity.parse(found[-len(servers.asks_identity) :]))
    return Listed.parse(found, newest, source)


def read(reader_id: int, newest: int | None = None, *, renew: bool = True) -> Listed | None:
    """Return the list after a read that begins now, as `finish_read` does."""
    return finish_read(begin_read(reader_id, newest), renew=renew)


def reading(
    reader_id: int, newest: int | None = None, others: Sequence[Command] = ()
) -> list[Command]:
    """Return the commands that read a list and its state, and do `others`, atomically.

    The last reply is a list, for Listed.parse, with the replies to `others` at its end.
    """
    return [
        ("MULTI",),
        ("LRANGE", list_key(reader_id), 0, (newest or 0) - 1),
        ("HMGET", state_key(reader_id), "version", "generation", "floor"),
        ("TTL", list_key(reader_id)),
        *others,
        ("EXEC",),
    ]


def renewal(reader_ids: Iterable[int], answers: Iterable[Reply]) -> list[Command]:
    """Return the commands that renew the expiry of those lists that are due, by these answers."""
    due = [
        reader_id
        for reader_id, answer in zip(reader_ids, answers, strict=True)
        if ABSENT != cast("list[int]", answer)[2] < EXPIRY_SECONDS - RENEWAL_SECONDS
    ]
    keys = [key for reader_id in due for key in (list_key(reader_id), state_key(reader_id))]
    return [("EXPIRE", key, EXPIRY_SECONDS) for key in keys]


class Begun(NamedTuple):
    """A rebuild that has begun: the token that finishes it, and where it began."""

    token: str
    source: Source


def begin_rebuild(reader_id: int) -> Begun | None:
    """Start an empty list that collects pushes. Return None during another rebuild."""
    token, servers, at = secrets.token_hex(8), nodes(), slot(reader_id)
    keys = list_key(reader_id), state_key(reader_id)
    with servers.connection(at) as connection:
        begin = connection.script(BEGIN, keys, token, REBUILD_SECONDS, EXPIRY_SECONDS)
        has_begun, *others = connection.ask(begin, *servers.asks_identity)
    return Begun(token, Source(at, identity.parse(others))) if has_begun else None


def finish_rebuild(
    reader_id: int,
    token: str,
    *,
    version: int,
    generation: int,
    floor: int,
    entries: Iterable[Entry],
) -> bool:
    """Append the entries, newest first, that were read from Postgres since `begin_rebuild`.

    Return whether they were stored: not if the token or the list is gone.
    """
    elements: list[bytes] = []
    for place, entry in enumerate(entries):
        if place % MARK_SPACING == 0:
            elements.append(mark(entry.tweet_id))
        elements.append(entry.encode())
    keys = list_key(reader_id), state_key(reader_id)
    with nodes().connection(slot(reader_id)) as connection:
        finish = connection.script(FINISH, keys, token, version, generation, floor, *elements)
        [is_stored] = connection.ask(finish)
    return bool(is_stored)
