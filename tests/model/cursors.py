"""The cursor of a client that comes back: a low-water id, and the higher ids that it was given."""

from collections.abc import Collection, Iterator
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from tests.model.engine import Model
from tests.model.guards import Guard

UNREAD = -1  # instead of a low-water id


class Stage(IntEnum):
    """How far a tweet is."""

    OPEN = 0  # its transaction has taken its id, and not ended
    COMMITTED = 1  # so that it is pending
    PUSHED = 2  # it is on the list, and still pending
    DELIVERED = 3


class Tweet(NamedTuple):
    """A tweet by an author whom the client's user follows. Its id is its place, from 1."""

    stage: Stage = Stage.OPEN
    is_flagged: bool = False
    is_listed: bool = False  # it was on the list when that was read for the page
    is_told: bool = False  # the client has it, or it is older than the client's first page
    is_given: bool = False  # the cursor says so

    @property
    def has_arrived(self) -> bool:
        """Whether each page that begins now shows it."""
        return self.stage != Stage.OPEN and (self.is_flagged or self.stage == Stage.DELIVERED)

    def is_visible(self, *, in_postgres: bool) -> bool:
        """Return whether a page shows it, with its id's part from Postgres or from the list."""
        is_found = self.stage != Stage.OPEN if in_postgres else self.is_listed
        return is_found or self.is_flagged


class Page(NamedTuple):
    """A page that is being made."""

    low: int = UNREAD  # the low-water id of its process
    has_list: bool = False


class Feed(NamedTuple):
    """The newest tweets, the client's cursor, and the page that it waits for."""

    tweets: tuple[Tweet, ...] = ()
    low: int = UNREAD  # the low-water id of the cursor, once there is one
    page: Page | None = None
    has_repeated: bool = False  # the client was given a tweet again

    def with_tweet(self, place: int, tweet: Tweet) -> "Feed":
        """Return the feed with another tweet at that place."""
        return self._replace(tweets=(*self.tweets[:place], tweet, *self.tweets[place + 1 :]))

    def without(self, place: int) -> "Feed":
        """Return the feed without the tweet at that place. Higher ids move down by one."""
        page = self.page
        return self._replace(
            tweets=self.tweets[:place] + self.tweets[place + 1 :],
            low=self.low - (self.low > place),
            page=page and page._replace(low=page.low - (page.low > place)),
        )


Steps: TypeAlias = Iterator[tuple[str, Feed]]


class Cursors(Model[Feed]):
    """One client, and any number of processes. `size` is the number of tweets at once.

    A page takes any low-water id below the tweets that may still arrive, which is what Settling
    shows, so it may be of any process and any age. A page with the highest floor is one that comes
    from Postgres.
    """

    size = 3
    necessary = dict.fromkeys(
        (
            Guard.LOW_BEFORE_LIST,
            Guard.LINGER,
            Guard.OLDER_ONES,
            Guard.LOWEST,
            Guard.LEFT_OVER,
            Guard.NEVER_LOWER,
        ),
        2,
    )

    def start(self) -> Feed:
        """Return a feed without tweets, before the client's first page."""
        return Feed()

    def is_wrong(self, state: Feed) -> bool:
        """Return whether the client was given a tweet twice, or can't be given one any more."""
        passed = state.tweets[: max(0, state.low)]
        return state.has_repeated or any(t.stage != Stage.OPEN and not t.is_told for t in passed)

    def steps(self, state: Feed) -> Steps:
        """Yield what authors, rounds and the client can do."""
        if len(state.tweets) < self.size:
            taken = state._replace(tweets=(*state.tweets, Tweet()))
            yield f"a transaction takes the id {len(taken.tweets)}", taken
        for place, tweet in enumerate(state.tweets):
            yield f"tweet {place + 1} is deleted or rolled back", state.without(place)
            for event, after in self._events(state.page, tweet):
                yield f"tweet {place + 1} {event}", state.with_tweet(place, after)
        yield from self._page_steps(state, state.page or Page())

    def _events(self, page: Page | None, tweet: Tweet) -> Iterator[tuple[str, Tweet]]:
        """Yield what can happen to a tweet that is not deleted."""
        if tweet.stage != Stage.DELIVERED:
            stage = Stage(tweet.stage + 1)
            yield f"is {stage.name.lower()}", tweet._replace(stage=stage)
        if tweet.stage in {Stage.COMMITTED, Stage.PUSHED} and not tweet.is_flagged:
            yield "is flagged", tweet._replace(is_flagged=True)
        if tweet.stage == Stage.DELIVERED and tweet.is_flagged:
            may_be_missing = page and page.has_list and not tweet.is_listed
            if not may_be_missing or not self.has(Guard.LINGER):
                yield "is not flagged any more", tweet._replace(is_flagged=False)

    def _page_steps(self, feed: Feed, page: Page) -> Steps:
        if page.low == UNREAD and (page.has_list or self.has(Guard.LOW_BEFORE_LIST)):
            # The process may have refreshed it at any earlier time.
            arrived = [tweet.has_arrived for tweet in feed.tweets]
            for low in range([*arrived, False].index(False) + 1):
                after = feed._replace(page=page._replace(low=low))
                yield f"a page takes the low-water id {low}", after
        elif not page.has_list:
            listed = tuple(t._replace(is_listed=t.stage >= Stage.PUSHED) for t in feed.tweets)
            after = feed._replace(tweets=listed, page=page._replace(has_list=True))
            yield "a page reads the list", after
        else:
            for floor in range(len(feed.tweets) + 1):
                tweets = enumerate(feed.tweets, 1)
                visible = [i for i, tweet in tweets if tweet.is_visible(in_postgres=i <= floor)]
                for what, after in self._answers(feed, page.low, visible):
                    yield f"{what}, with floor {floor}", after

    def _answers(self, feed: Feed, low: int, visible: list[int]) -> Steps:
        """Yield the page for each limit, and the feed with its cursor."""
        if feed.low == UNREAD:
            given = visible if self.has(Guard.OLDER_ONES) else visible[-1:]
            after = self._answered(feed, low, visible, given)
            yield f"the first page is made of {visible}, its cursor of {given}", after
            return
        new = [i for i in visible if i > feed.low and not feed.tweets[i - 1].is_given]
        for limit in range(1, max(1, len(new)) + 1):
            printed = new[:limit] if self.has(Guard.LOWEST) else new[-limit:]
            next_low = low
            if len(new) > limit and self.has(Guard.LEFT_OVER):
                next_low = min(low, printed[-1])
            if self.has(Guard.NEVER_LOWER):
                next_low = max(feed.low, next_low)
            repeats = any(feed.tweets[i - 1].is_told for i in printed)
            after = self._answered(feed, next_low, printed, printed)
            yield f"the page has {printed} of {new}", after._replace(has_repeated=repeats)

    def _answered(
        self, feed: Feed, low: int, told: Collection[int], given: Collection[int]
    ) -> Feed:
        """Return the feed after the client was told these. The given ones are put in the cursor."""
        tweets = tuple(
            tweet._replace(
                is_listed=False,
                is_told=tweet.is_told or i in told,
                is_given=i > low and (tweet.is_given or i in given),
            )
            for i, tweet in enumerate(feed.tweets, 1)
        )
        return Feed(tweets, low)

    def reduced(self, state: Feed) -> Feed:
        """Return the feed without tweets that can't matter any more.

        The cursor and all later ones are above them, and they hold no low-water id back.
        """
        if self.has(Guard.NEVER_LOWER):
            for place in reversed(range(state.low)):
                tweet = state.tweets[place]
                if tweet.is_told and tweet.has_arrived:
                    state = state.without(place)
        return state
