"""Home timelines in Redis: read, rebuild and drop them. Functions that ask Redis raise Unavailable.

Each reader has two keys. The list holds encoded entries, the newest push first. It also holds an
empty string as a placeholder, because Redis deletes a list that becomes empty. There is a mark
about every MARK_SPACING elements: no entry after it has a higher tweet id than the mark says, so
the newest part of a list can be read alone.

The state is a hash. During a rebuild it holds `token` and `busy_until` (the server's clock, in
seconds); after it, `version`, the `follows_version` that the list was built from. It always holds
`run_id`, the server process that had the list when the rebuild began, and `floor`: the list is
complete for ids above it.
"""

import secrets
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from api.fields import MAX_ID
from backends.valkey import Refusal, Reply, Script, server
from timelines.lists.entries import Entry, decode, mark

PREFIX, SUFFIX = "home:{", "}"  # of a list's key, around the reader's id
CAP = 800  # elements that a cut leaves: entries, marks and the placeholder
MARK_SPACING = 80  # elements; a list is tended whenever its length is a multiple of this
EXPIRY_SECONDS = 30 * 24 * 3600  # after the owner's last read
# A rebuild blocks others for at most this long. It takes far less, and a crashed one does not block
# the next for long.
REBUILD_SECONDS = 10
SCANNED_AT_ONCE = 1_000  # keys


def list_key(reader_id: int) -> str:
    """Return the key of the reader's list. Its braces put both keys into one cluster slot."""
    return f"{PREFIX}{reader_id}{SUFFIX}"


def state_key(reader_id: int) -> str:
    """Return the key of the reader's state."""
    return f"{list_key(reader_id)}:state"


def script(name: str) -> Script:
    """Return the Lua script of that name."""
    return Script((Path(__file__).parent / "lua" / f"{name}.lua").read_text())


BEGIN, FINISH = script("begin"), script("finish")


def most_entries() -> int:
    """Return how many entries a rebuilt list may hold: CAP less the placeholder and marks."""
    return max(1, (CAP - 1) * MARK_SPACING // (MARK_SPACING + 1))


class Listed(NamedTuple):
    """What was read of a list, and what its state says about it."""

    tweet_ids: Sequence[int]  # ascending; a tweet that was pushed twice is there twice
    version: int | None  # None during a rebuild
    floor: int  # complete for ids above it
    is_whole: bool  # whether all of it was read; a part has a higher floor, its last mark
    is_same_server: bool  # whether the process that answered is the one that built it

    def is_believed(self, follows_version: int) -> bool:
        """Return whether it has every delivered tweet above the floor, for that version."""
        return self.is_same_server and self.version == follows_version

    def between(self, since_id: int, max_id: int) -> Sequence[int]:
        """Return the ids above the floor with since_id < id < max_id, ascending."""
        first = bisect_right(self.tweet_ids, max(self.floor, since_id))
        return self.tweet_ids[first : bisect_left(self.tweet_ids, max_id)]


def read(
    reader_id: int,
    newest: int | None = None,
    *,
    renew: bool = True,
    meanwhile: Callable[[], object] | None = None,
) -> Listed | None:
    """Return the reader's list and state, read atomically in one round trip. None if one is absent.

    `newest` limits the read to that many elements from the head. `renew` renews the expiry of
    both keys, as a read by the owner does. `meanwhile` is called while the server works.
    """
    both = list_key(reader_id), state_key(reader_id)
    with server().connection() as connection:
        *_, answer = connection.ask(
            ("MULTI",),
            ("LRANGE", both[0], 0, (newest or 0) - 1),
            ("HMGET", both[1], "version", "run_id", "floor"),
            *(("EXPIRE", key, EXPIRY_SECONDS) for key in both if renew),
            ("EXEC",),
            meanwhile=meanwhile,
        )
        run_id = connection.run_id
    elements, state, *_ = cast("list[Reply]", answer)
    if isinstance(elements, Refusal) or isinstance(state, Refusal):
        return None  # a key of another type, which a rebuild replaces
    return _listed(cast("list[bytes]", elements), cast("list[bytes | None]", state), run_id, newest)


def _listed(
    elements: list[bytes], state: list[bytes | None], server_run_id: bytes, newest: int | None
) -> Listed | None:
    version, run_id, floor = state
    if not elements or floor is None:
        return None
    ids, marks = decode(elements)
    is_whole = newest is None or len(elements) < newest
    return Listed(
        tweet_ids=ids,
        version=None if version is None else int(version),
        floor=int(floor) if is_whole else max(int(floor), min(marks, default=MAX_ID)),
        is_whole=is_whole,
        is_same_server=run_id == server_run_id,
    )


def begin_rebuild(reader_id: int) -> str | None:
    """Start an empty list that collects pushes. Return its token; None during another rebuild."""
    token = secrets.token_hex(8)
    keys = list_key(reader_id), state_key(reader_id)
    with server().connection() as connection:
        begin = connection.script(BEGIN, keys, token, REBUILD_SECONDS, EXPIRY_SECONDS)
        [has_begun] = connection.ask(begin)
    return token if has_begun else None


def finish_rebuild(
    reader_id: int, token: str, *, version: int, floor: int, entries: Iterable[Entry]
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
    with server().connection() as connection:
        finish = connection.script(FINISH, keys, token, version, floor, *elements)
        [is_stored] = connection.ask(finish)
    return bool(is_stored)


def forget(reader_ids: Iterable[int]) -> None:
    """Drop the readers' lists and states. The next read of each rebuilds it."""
    drop = [("UNLINK", list_key(reader_id), state_key(reader_id)) for reader_id in reader_ids]
    with server().connection() as connection:
        connection.ask(*drop)


def materialised() -> Iterator[int]:
    """Yield the ids of readers with a list, some perhaps twice. New ones may be missed."""
    cursor = b"0"
    while True:
        with server().connection() as connection:
            scan = ("SCAN", cursor, "MATCH", f"{PREFIX}*{SUFFIX}", "COUNT", SCANNED_AT_ONCE)
            [answer] = connection.ask((*scan, "TYPE", "list"))
        cursor, keys = cast("tuple[bytes, list[bytes]]", answer)
        yield from (int(key[len(PREFIX) : -len(SUFFIX)]) for key in keys)
        if cursor == b"0":
            return


def memory_bytes(reader_id: int) -> int:
    """Return the bytes that the list and its state take, as the server reports them."""
    keys = list_key(reader_id), state_key(reader_id)
    with server().connection() as connection:
        answers = connection.ask(*(("MEMORY", "USAGE", key, "SAMPLES", 0) for key in keys))
    return sum(used or 0 for used in cast("list[int | None]", answers))
