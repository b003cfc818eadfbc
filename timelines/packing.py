"""Changes of many lists as bytes, in Redis's own protocol."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from timelines.entries import Entry

# While the server works on one piece the next is packed: a tenth of a big round's time.
PIECE_LISTS = 8_192


class Change(NamedTuple):
    """Put one entry onto, or take it off, the home timelines of some followers, ascending."""

    entry: Entry
    follower_ids: Sequence[int]
    is_retraction: bool = False


def pack(change: Change) -> Iterator[bytes]:
    """The commands for all of the change's lists, in pieces of PIECE_LISTS.

    0.15 us a list; a pipeline, which packs each command on its own, takes 5 times as long as the
    whole exchange. Raises ValueError, before the first piece, where there can't be such an entry.
    """
    entry = change.entry.encode()
    command = (b"LREM", b"0") if change.is_retraction else (b"LPUSHX",)
    head = b"*%d\r\n%b" % (len(command) + 2, _bulk(command[0]))
    tail = b"".join(map(_bulk, (*command[1:], entry)))
    for first in range(0, len(change.follower_ids), PIECE_LISTS):
        # Keys of equal length differ in their digits only, so one join packs a run of them.
        runs = []
        follower_ids = map(str, change.follower_ids[first : first + PIECE_LISTS])
        for digits, run in groupby(follower_ids, len):
            before = b"%b$%d\r\nhome:{" % (head, len("home:{}") + digits)
            after = b"}\r\n" + tail
            runs.append(before + (after + before).join(map(str.encode, run)) + after)
        yield b"".join(runs)


def _bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)
