"""What the model of one list knows: the outbox of a few tweets, and the list with its state."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

MAX_ID = 99


class Element(NamedTuple):
    """An entry, or a mark. The placeholder is an entry without a tweet: 0."""

    tweet_id: int
    is_mark: bool = False


class Row(NamedTuple):
    """A row of the outbox. The row of a later turn has a higher place."""

    is_retraction: bool
    is_taken: bool = False  # by the server; the round has yet to count


class Tweet(NamedTuple):
    """A tweet by an author whom the reader follows. It can be deleted, and loaded again."""

    rows: tuple[Row, ...] = ()
    events: int = 0  # 1: it was posted, 2: deleted, 3: loaded again under the same id

    @property
    def exists(self) -> bool:
        """Whether Postgres has it."""
        return self.events % 2 == 1


class Rebuild(NamedTuple):
    """The snapshot of the rebuild that holds the token."""

    tweet_ids: tuple[int, ...]  # newest first
    floor: int


class Timeline(NamedTuple):
    """The tweets, whose ids count from 1, and the list with its state, or neither."""

    tweets: tuple[Tweet, ...]
    elements: tuple[Element, ...] | None = None
    floor: int = 0
    is_rebuilding: bool = False  # the state has a token instead of a version
    rebuild: Rebuild | None = None

    def with_tweet(self, tweet_id: int, tweet: Tweet) -> "Timeline":
        """Return the timeline after that tweet has changed."""
        tweets = (*self.tweets[: tweet_id - 1], tweet, *self.tweets[tweet_id:])
        return self._replace(tweets=tweets)


Steps: TypeAlias = Iterator[tuple[str, Timeline]]


def highest_id(elements: Sequence[Element]) -> int:
    """Return the highest tweet id, as tend.lua does: the first mark bounds what is after it."""
    highest = 0
    for element in elements:
        highest = max(highest, element.tweet_id)
        if element.is_mark:
            break
    return highest
