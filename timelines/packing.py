"""Changes of many lists as the bytes of one buffer, in Redis's own protocol."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from timelines.entries import Entry


class Change(NamedTuple):
    """Put one entry onto, or take it off, the home timelines of some followers, ascending."""

    entry: Entry
    follower_ids: Sequence[int]
    is_retraction: bool = False


def pack(change: Change) -> bytes | ValueError:
    """The commands for all of the change's lists in one buffer, or why there can't be an entry.

    0.15 us a list; a pipeline, which packs each command on its own, takes 5 times as long as the
    whole exchange.
    """
    try:
        entry = change.entry.encode()
    except ValueError as error:
        return error
    command = (b"LREM", b"0") if change.is_retraction else (b"LPUSHX",)
    head = b"*%d\r\n%b" % (len(command) + 2, _bulk(command[0]))
    tail = b"".join(map(_bulk, (*command[1:], entry)))
    # Keys of equal length differ in their digits only, so one join packs a run of them.
    runs = []
    for digits, run in groupby(map(str, change.follower_ids), len):
        before = b"%b$%d\r\nhome:{" % (head, len("home:{}") + digits)
        after = b"}\r\n" + tail
        runs.append(before + (after + before).join(map(str.encode, run)) + after)
    return b"".join(runs)


def _bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)
