"""The low-water id of a process: below each tweet that may still arrive."""

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from tests.model.engine import Model
from tests.model.guards import Guard

NONE = 0  # no transaction id: they count from 1
UNREAD = -1  # instead of an id


class Tweet(NamedTuple):
    """A tweet that is open, or pending and not flagged."""

    is_open: bool = True
    xid: int = NONE  # of its transaction, while that is open


class Process(NamedTuple):
    """What a web process remembers of Postgres."""

    low: int = 0  # its low-water id
    settled: int = 0
    value: int = UNREAD  # the candidate: what the sequence was
    next_xid: int = NONE  # once no transaction below this one is open, the candidate is settled
    arrived: int = UNREAD  # without ONE_SNAPSHOT: no tweet up to this id was pending


class Ids(NamedTuple):
    """The tweets that may still arrive, the open transactions, and a process.

    A tweet's id is its place, from 1. If a tweet arrives or is rolled back, it is left out and the
    ids above it move down by one. Nothing changes by that, because ids are only compared.
    """

    tweets: tuple[Tweet, ...] = ()
    xids: tuple[int, ...] = ()  # of open transactions that have not taken a tweet's id
    next_xid: int = 1
    xmax: int = 1  # one more than the highest xid that has ended
    process: Process = Process()

    @property
    def open_xids(self) -> list[int]:
        """Return the ids of the transactions that are open."""
        return [*self.xids, *(tweet.xid for tweet in self.tweets if tweet.xid != NONE)]

    @property
    def arrived(self) -> int:
        """Return the id below the lowest delivery that is pending and not flagged."""
        tweets = enumerate(self.tweets)
        return next((i for i, tweet in tweets if not tweet.is_open), len(self.tweets))

    def with_tweet(self, place: int, tweet: Tweet) -> "Ids":
        """Return these with another tweet at that place."""
        return self._replace(tweets=(*self.tweets[:place], tweet, *self.tweets[place + 1 :]))

    def without(self, place: int) -> "Ids":
        """Return these without the tweet at that place."""
        low, settled, value, next_xid, arrived = self.process
        low, settled, value, arrived = (i - (i > place) for i in (low, settled, value, arrived))
        return self._replace(
            tweets=self.tweets[:place] + self.tweets[place + 1 :],
            process=Process(low, settled, value, next_xid, arrived),
        )


Steps: TypeAlias = Iterator[tuple[str, Ids]]


class Settling(Model[Ids]):
    """One process: others neither help nor disturb it. `size` is the number of tweets at once."""

    size = 4
    necessary = dict.fromkeys(
        (
            Guard.XID_FIRST,
            Guard.NEXT_XID,
            Guard.VALUE_FIRST,
            Guard.SETTLED,
            Guard.PENDING,
            Guard.ONE_SNAPSHOT,
        ),
        1,
    )

    def start(self) -> Ids:
        """Return a state without tweets."""
        return Ids()

    def is_wrong(self, state: Ids) -> bool:
        """Return whether a tweet that is not above the low-water id may still arrive."""
        return state.process.low > 0 and bool(state.tweets)

    def steps(self, state: Ids) -> Steps:
        """Yield what transactions, rounds and the process can do."""
        if len(state.tweets) + len(state.xids) < self.size:
            yield self._begins(state)
        for xid in state.xids:
            others = tuple(other for other in state.xids if other != xid)
            taken = state._replace(tweets=(*state.tweets, Tweet(xid=xid)), xids=others)
            yield f"transaction {xid} takes the id {len(taken.tweets)}", taken
        for place, tweet in enumerate(state.tweets):
            yield from self._arrives(state, place, tweet)
        yield from self._reads(state, state.process)
        yield from self._refreshes(state, state.process)

    def _begins(self, ids: Ids) -> tuple[str, Ids]:
        if self.has(Guard.XID_FIRST):
            xids = (*ids.xids, ids.next_xid)
            begun = ids._replace(xids=xids, next_xid=ids.next_xid + 1)
            return f"transaction {ids.next_xid} begins", begun
        taken = ids._replace(tweets=(*ids.tweets, Tweet()))
        return f"a transaction takes the id {len(taken.tweets)}", taken

    def _arrives(self, ids: Ids, place: int, tweet: Tweet) -> Steps:
        name, xid = f"tweet {place + 1}", tweet.xid
        if not tweet.is_open:
            yield f"{name} is delivered, or its flag is committed", ids.without(place)
        elif xid == NONE:
            given = ids.with_tweet(place, Tweet(xid=ids.next_xid))
            after = given._replace(next_xid=ids.next_xid + 1)
            yield f"the transaction with {name} is given its xid, {ids.next_xid}", after
        else:
            ended = ids._replace(xmax=max(ids.xmax, xid + 1))
            yield f"transaction {xid} commits {name}", ended.with_tweet(place, Tweet(False))
            yield f"transaction {xid} with {name} is rolled back", ended.without(place)

    def _reads(self, ids: Ids, process: Process) -> Steps:
        """Yield how the process gets a candidate: one read after the other, if it has none."""
        value_first = self.has(Guard.VALUE_FIRST)
        if process.value == UNREAD and (value_first or process.next_xid != NONE):
            read = process._replace(value=len(ids.tweets))
            yield f"the process reads the sequence: {read.value}", ids._replace(process=read)
        elif process.next_xid == NONE:
            is_next = self.has(Guard.NEXT_XID)
            read = process._replace(next_xid=ids.next_xid if is_next else ids.xmax)
            name = f"the process reads the {'next xid' if is_next else 'xmax'}: {read.next_xid}"
            yield name, ids._replace(process=read)

    def _refreshes(self, ids: Ids, process: Process) -> Steps:
        xmin = min(ids.open_xids, default=ids.next_xid)
        arrived = ids.arrived
        if not self.has(Guard.ONE_SNAPSHOT):
            looked = process._replace(arrived=arrived)
            yield "the process looks for pending deliveries", ids._replace(process=looked)
            arrived = process.arrived
        low, settled, value, next_xid, _ = process
        if value != UNREAD and next_xid != NONE and next_xid <= xmin:
            settled, value, next_xid = value, UNREAD, NONE
        upper = settled if self.has(Guard.SETTLED) else len(ids.tweets)
        low = max(low, min(upper, arrived) if self.has(Guard.PENDING) else upper)
        after = ids._replace(process=Process(low, settled, value, next_xid, process.arrived))
        yield f"the process takes a snapshot, and {low} as its low-water id", after

    def reduced(self, state: Ids) -> Ids:
        """Return the state with the lowest transaction ids that compare in the same way."""
        xids = sorted(state.open_xids)

        def rank(xid: int) -> int:
            return NONE if xid == NONE else 1 + sum(other < xid for other in xids)

        process = state.process
        return Ids(
            tuple(Tweet(tweet.is_open, rank(tweet.xid)) for tweet in state.tweets),
            tuple(map(rank, state.xids)),
            rank(state.next_xid),
            rank(state.xmax),
            process._replace(next_xid=rank(process.next_xid)),
        )
