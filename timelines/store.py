"""The home timelines in Redis: `server` aside the only module that knows Redis.

Two keys a reader, in one cluster slot. `home:{<user id>}` is a list of encoded entries, newest push
first; an empty timeline still holds the placeholder. About every `HOME_TIMELINE_SLACK` elements
there stands a mark, so that the newest pushes can be read alone: what is left unread has no tweet
above the last mark's. `home:{<user id>}:state` is a hash: while a rebuild is under way its `token`
and `busy_until` (the server's time, seconds); once it is finished the `version` of the reader's
follows that it was built from; and always `run_id` (the Redis process that held the list when the
rebuild began) and `floor` (the list is complete for ids above it).
"""

import secrets
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import redis
from django.conf import settings

from timelines.entries import ABOVE_ALL_IDS, Entry, decode, mark
from timelines.packing import Change, pack
from timelines.server import PUSH_SECONDS, ask, client, connection, reaching, replies, script

# How long a rebuild keeps others away: far longer than one takes, short enough after a crash.
REBUILD_SECONDS = 10
# Lists tended by one buffer, which takes the server some 50 ms.
TENDED_AT_ONCE = 1_000
# Set while a wake-up is under way, so that a thousand posts send one; lost ones are soon forgotten.
WAKE_KEY, WAKE_SECONDS = "fan_out:wake", 2


class Listed(NamedTuple):
    """What a list holds, or the part of it that was read, and what that is good for."""

    tweet_ids: list[int]  # ascending; a tweet that was pushed twice is there twice
    version: int | None  # None while a rebuild is under way
    floor: int  # complete for ids above it
    is_whole: bool  # whether there is no more of the list, which would lower the floor
    is_same_server: bool  # whether the Redis process that built the list is the one that answered

    def is_believed(self, follows_version: int) -> bool:
        """Whether it holds every delivered tweet above the floor, for a reader at that version."""
        return self.is_same_server and self.version == follows_version

    def holds(self, count: int, since_id: int | None) -> bool:
        """Whether it holds the newest `count` tweets, or all above `since_id`."""
        above = len(self.tweet_ids) - bisect_right(self.tweet_ids, self.floor)
        return above >= count or self.floor <= (since_id or 0)


def keys(reader_id: int) -> tuple[str, str]:
    """The keys of the reader's list and of its state."""
    return f"home:{{{reader_id}}}", f"home:{{{reader_id}}}:state"


def read(
    reader_id: int,
    newest: int | None = None,
    *,
    renew: bool = True,
    meanwhile: Callable[[], None] | None = None,
) -> Listed | None:
    """The reader's list and state as of one moment, in one round trip; None if either is absent.

    `newest`: that many of the last pushed elements instead of the whole list. `renew` counts as the
    owner's reading: both live on for the whole expiry. `meanwhile` is called while the server is at
    it. Raises Unavailable.
    """
    both = list_key, state_key = keys(reader_id)
    expiry = settings.HOME_TIMELINE_EXPIRY_SECONDS
    with connection(client()) as link:
        *_, (elements, state, *_) = ask(
            link,
            ("MULTI",),
            ("LRANGE", list_key, 0, (newest or 0) - 1),
            ("HMGET", state_key, "version", "run_id", "floor"),
            *(("EXPIRE", key, expiry) for key in both if renew),
            ("EXEC",),
            meanwhile=meanwhile,
        )
        server_run_id = link.run_id
    if isinstance(elements, redis.ResponseError) or isinstance(state, redis.ResponseError):
        return None  # no list, no hash: a rebuild puts that right
    version, run_id, floor = state
    if not elements or floor is None:
        return None
    ids, marks = decode(elements)
    is_whole = newest is None or len(elements) < newest
    return Listed(
        tweet_ids=ids,
        version=None if version is None else int(version),
        floor=int(floor) if is_whole else max(int(floor), min(marks, default=ABOVE_ALL_IDS)),
        is_whole=is_whole,
        is_same_server=run_id == server_run_id,
    )


def begin_rebuild(reader_id: int) -> str | None:
    """Start an empty list that collects pushes; its token, or None while another rebuild runs.

    Raises Unavailable.
    """
    token = secrets.token_hex(8)
    arguments = (token, REBUILD_SECONDS, settings.HOME_TIMELINE_EXPIRY_SECONDS)
    with connection(client()) as link:
        [has_begun] = ask(link, script(link, "begin", keys(reader_id), *arguments))
    return token if has_begun else None


def finish_rebuild(
    reader_id: int, token: str, *, version: int, floor: int, entries: Iterable[Entry]
) -> bool:
    """Complete the list with what Postgres held since the rebuild began; False if it was lost.

    The entries are given newest first. Raises Unavailable.
    """
    elements: list[bytes] = []
    for place, entry in enumerate(entries):
        if place % settings.HOME_TIMELINE_SLACK == 0:
            elements.append(mark(entry.tweet_id))
        elements.append(entry.encode())
    with connection(client()) as link:
        arguments = (token, version, floor, *elements)
        return bool(*ask(link, script(link, "finish", keys(reader_id), *arguments)))


def forget(reader_ids: Iterable[int]) -> None:
    """Drop lists and states; the next read of each rebuilds it. Raises Unavailable."""
    with reaching(), client().pipeline(transaction=False) as pipeline:
        for reader_id in reader_ids:
            pipeline.unlink(*keys(reader_id))
        pipeline.execute()


def materialised() -> Iterator[int]:
    """The ids of all readers with a list, in no order; lists that come or go meanwhile may lack."""
    for key in client().scan_iter("home:{*}", count=1000, _type="list"):
        yield int(key[len("home:{") : -len("}")])


def claim_wake_up() -> bool:
    """Whether to send a wake-up: no, while one is under way. Raises Unavailable."""
    with connection(client()) as link:
        return bool(*ask(link, ("SET", WAKE_KEY, 1, "NX", "EX", WAKE_SECONDS)))


def take_wake_up() -> None:
    """A wake-up has arrived: what is committed from now on needs another. Raises Unavailable."""
    with connection(client()) as link:
        ask(link, ("DEL", WAKE_KEY))


def memory_bytes(reader_id: int) -> int:
    """What the reader's list and state take, as the server reckons it."""
    return sum(client().memory_usage(key, samples=0) or 0 for key in keys(reader_id))


def apply(changes: Sequence[Change]) -> list[int | Exception]:
    """Make the changes to those of the lists that exist, in order and all at once.

    Returns for each change how many lists it reached, or what was wrong with it: a ValueError for
    ids that no entry can hold, or the first error that one of the lists answered. A list that has
    grown by another slack is tended: cut down to the cap, and marked. Raises Unavailable; any part
    may have been made by then.
    """
    results: list[int | Exception] = []
    grown: set[int] = set()
    with connection(client(PUSH_SECONDS)) as link:
        sent = [_send(link, change) for change in changes]
        for change, error in zip(changes, sent, strict=True):
            results.append(error or _reached(link, change.follower_ids, grown))
        tend = [
            script(link, "tend", keys(reader_id), settings.HOME_TIMELINE_CAP) for reader_id in grown
        ]
        for first in range(0, len(tend), TENDED_AT_ONCE):
            ask(link, *tend[first : first + TENDED_AT_ONCE])
    return results


def _send(link: Any, change: Change) -> ValueError | None:
    try:
        for piece in pack(change):
            link.send_packed_command([piece])
    except ValueError as error:
        return error
    return None


def _reached(link: Any, follower_ids: Sequence[int], grown: set[int]) -> int | redis.RedisError:
    reached, error = 0, None
    slack = settings.HOME_TIMELINE_SLACK
    for follower_id, reply in zip(follower_ids, replies(link, len(follower_ids)), strict=True):
        if isinstance(reply, redis.RedisError):
            if not str(reply).startswith("WRONGTYPE"):
                raise reply  # the server's, not this list's
            error = error or reply
        elif reply:
            reached += 1
            if reply % slack == 0:
                grown.add(follower_id)
    return error or reached
