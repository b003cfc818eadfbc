"""What was read of a list in Redis, and what makes it believed."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, cast

from api.fields import MAX_ID
from backends.identity import Identity
from backends.valkey import Refusal, Reply
from timelines.lists.entries import decode


class Source(NamedTuple):
    """Where a list was read: its slot, and the server that answered."""

    slot: int
    identity: Identity


class Doubt(StrEnum):
    """Why a list is not believed. The next read rebuilds it."""

    NOT_ADMITTED = "the server that holds it is not admitted for its slot"
    REBUILDING = "it is being rebuilt"
    GENERATION = "it was built under another generation: the server has been admitted again since"
    VERSION = "the reader's follows have changed since it was built"


class Listed(NamedTuple):
    """What was read of a list, and what its state says about it."""

    tweet_ids: Sequence[int]  # ascending; a tweet that was pushed twice is there twice
    version: int | None  # None during a rebuild
    generation: int | None  # that the list was built under
    floor: int  # complete for ids above it
    is_whole: bool  # whether all of it was read; a part has a higher floor, its last mark
    source: Source

    def is_believed(self, follows_version: int, generation: int | None) -> bool:
        """Return whether it has every delivered tweet above the floor, for that version.

        `generation` is that of the source in Postgres, None if another server is admitted.
        """
        return self.doubt(follows_version, generation) is None

    def doubt(self, follows_version: int, generation: int | None) -> Doubt | None:
        """Return why the list is not believed, or None if it is."""
        if generation is None:
            return Doubt.NOT_ADMITTED
        if self.version is None:
            return Doubt.REBUILDING
        if self.generation != generation:
            return Doubt.GENERATION
        return None if self.version == follows_version else Doubt.VERSION

    @classmethod
    def parse(cls, replies: Sequence[Reply], newest: int | None, source: Source) -> "Listed | None":
        """Return what the last reply to `store.reading` says.

        Return None if the list or its state is absent, or was not written by Twit.
        """
        elements, state, *_ = replies
        if isinstance(elements, Refusal) or isinstance(state, Refusal):
            return None  # a key of another type, which a rebuild replaces
        encoded = cast("list[bytes]", elements)
        try:
            ids, marks = decode(encoded)
            version, generation, floor = [
                None if value is None else int(value) for value in cast("list[bytes | None]", state)
            ]
        except ValueError:  # foreign bytes, which a rebuild replaces
            return None
        if not encoded or floor is None:
            return None
        is_whole = newest is None or len(encoded) < newest
        return cls(
            tweet_ids=ids,
            version=version,
            generation=generation,
            floor=floor if is_whole else max(floor, min(marks, default=MAX_ID)),
            is_whole=is_whole,
            source=source,
        )

    def between(self, since_id: int, max_id: int) -> Sequence[int]:
        """Return the ids above the floor with since_id < id < max_id, ascending."""
        first = bisect_right(self.tweet_ids, max(self.floor, since_id))
        return self.tweet_ids[first : bisect_left(self.tweet_ids, max_id)]
