"""Whose pages change because a delivery has been flagged."""

from collections.abc import Sequence

from backends.postgres import binary_cursor

_FLAGS = "SELECT tweet_id, author_id FROM timelines_flag"
# $1: readers, $2: authors.
_FOLLOWERS = """
    SELECT DISTINCT follower_id FROM users_follow
    WHERE follower_id = ANY($1::bigint[]) AND followed_id = ANY($2::bigint[])
"""


class NewFlags:
    """The flags that have been set since the last look. There are about 200 at most."""

    def __init__(self) -> None:
        self._known: set[tuple[int, int]] = set()

    def look(self, reader_ids: Sequence[int]) -> list[int]:
        """Return those readers who follow the author of a newly flagged tweet."""
        with binary_cursor() as cursor:
            cursor.execute(_FLAGS)
            flags: set[tuple[int, int]] = {*cursor.fetchall()}
            authors = [*{author_id for _, author_id in flags - self._known}]
            if not authors:
                self._known = flags
                return []
            cursor.execute(_FOLLOWERS, [[*reader_ids], authors])
            self._known = flags
            return [reader_id for (reader_id,) in cursor.fetchall()]
