"""The home timelines in Redis: the only module that knows Redis.

A home timeline is a list of encoded entries under `home:{<user id>}`, newest push first. Fan-out
pushes only onto lists that exist. A rebuild that fitted whole puts END, which is no entry, behind
the last one: it marks the timeline's end, keeps an empty timeline in existence, and is the first
to go when the list is trimmed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import cast

import redis
from django.conf import settings

from timelines.entries import Entry

END = b""


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list holds: tweet ids, newest first, and whether they are the whole timeline."""

    tweet_ids: list[int]
    is_whole: bool


@cache
def client() -> redis.Redis:
    """The process's Redis client; it connects at its first command, and again after a fork."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=settings.REDIS_SOCKET_SECONDS,
        socket_connect_timeout=settings.REDIS_SOCKET_SECONDS,
    )


def key(reader_id: int) -> str:
    """The key of a home timeline; the braces keep all of a reader's keys in one cluster slot."""
    return f"home:{{{reader_id}}}"


def push(entry: Entry, follower_ids: Sequence[int]) -> int:
    """Push the entry onto those of the lists that exist; returns how many do.

    `follower_ids` ascend. A list that overruns the cap by more than the slack is trimmed.
    """
    lengths = _for_each_list(b"LPUSHX", follower_ids, entry.encode())
    limit = settings.HOME_TIMELINE_CAP + settings.HOME_TIMELINE_SLACK
    with client().pipeline(transaction=False) as pipeline:
        for follower_id, length in zip(follower_ids, lengths, strict=True):
            if length > limit:
                pipeline.ltrim(key(follower_id), 0, settings.HOME_TIMELINE_CAP - 1)
        pipeline.execute()
    return len(lengths) - lengths.count(0)


def remove(entry: Entry, follower_ids: Sequence[int]) -> int:
    """Take the entry off those of the lists that hold it; returns how many did."""
    removed = _for_each_list(b"LREM", follower_ids, b"0", entry.encode())
    return len(removed) - removed.count(0)


def read(reader_id: int) -> Listed | None:
    """What the reader's list holds, or None if it is not materialised. Renews its expiry."""
    with client().pipeline(transaction=False) as pipeline:
        pipeline.lrange(key(reader_id), 0, -1)
        pipeline.expire(key(reader_id), settings.HOME_TIMELINE_EXPIRY_SECONDS)
        elements, exists = cast(tuple[list[bytes], bool], pipeline.execute())
    if not exists:
        return None
    # A tweet may have been pushed late, or twice.
    tweet_ids = {Entry.decode(element).tweet_id for element in elements if element != END}
    return Listed(sorted(tweet_ids, reverse=True), is_whole=END in elements)


def replace(reader_id: int, entries: Sequence[Entry], *, is_whole: bool) -> None:
    """Store the reader's list anew: `entries`, newest first."""
    elements = [entry.encode() for entry in entries] + ([END] if is_whole else [])
    with client().pipeline(transaction=True) as pipeline:
        pipeline.delete(key(reader_id))
        pipeline.rpush(key(reader_id), *elements)
        pipeline.expire(key(reader_id), settings.HOME_TIMELINE_EXPIRY_SECONDS)
        pipeline.execute()


def forget(reader_ids: Iterable[int]) -> None:
    """Drop the lists; the next read of each rebuilds it."""
    with client().pipeline(transaction=False) as pipeline:
        for reader_id in reader_ids:
            pipeline.unlink(key(reader_id))
        pipeline.execute()


def _for_each_list(command: bytes, reader_ids: Sequence[int], *arguments: bytes) -> list[int]:
    """Send `command <key> <arguments>` for each list in one buffer; returns the integer replies.

    The buffer is packed here, as pipelines take each command apart: 5 times the commands a
    second. Raises redis.RedisError if any reply is an error.
    """
    head = b"*%d\r\n%b" % (2 + len(arguments), _bulk(command))
    tail = b"".join(_bulk(argument) for argument in arguments)
    connection = client().connection_pool.get_connection()
    try:
        connection.send_packed_command([_pack(head, reader_ids, tail)])
        return [connection.read_response() for _ in reader_ids]
    except BaseException:
        connection.disconnect()  # unread replies must not answer the next command
        raise
    finally:
        client().connection_pool.release(connection)


def _pack(head: bytes, reader_ids: Sequence[int], tail: bytes) -> bytes:
    # Keys of equal length differ in their digits only, so one join packs a run of them.
    runs = []
    for digits, run in groupby(map(str, reader_ids), len):
        before = b"%b$%d\r\nhome:{" % (head, len("home:{}") + digits)
        after = b"}\r\n" + tail
        runs.append(before + (after + before).join(map(str.encode, run)) + after)
    return b"".join(runs)


def _bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)
