"""One list at one server: entries, marks, cuts, the floor, late pushes and retractions."""

from collections.abc import Iterator

from tests.model.engine import Model
from tests.model.guards import Guard
from tests.model.timeline import MAX_ID, Element, Rebuild, Row, Steps, Timeline, Tweet, highest_id


class Lists(Model[Timeline]):
    """One list. `size` is the number of tweets, one more than a rebuilt list holds."""

    size = 2
    necessary = dict.fromkeys(
        (
            Guard.EMPTY_BEGIN,
            Guard.FLOOR,
            Guard.HIGHER_FLOOR,
            Guard.NO_MARK_IN_REBUILD,
            Guard.MARK,
            Guard.TURNS,
            Guard.NO_LATE_RETRACTION,
        ),
        2,
    )

    def __init__(self, *without: Guard, size: int | None = None) -> None:
        super().__init__(*without, size=size)
        self.most_entries = self.size - 1  # in a rebuilt list, under one mark
        self.cap = self.most_entries + 2  # elements: a mark and the placeholder too

    def start(self) -> Timeline:
        """Return a timeline without tweets and without a list."""
        return Timeline((Tweet(),) * self.size)

    def steps(self, state: Timeline) -> Steps:
        """Yield what rounds, rebuilds, authors and the server can do."""
        yield from self._rebuild_steps(state)
        is_long = state.elements is not None and len(state.elements) > self.cap
        for tweet_id, tweet in enumerate(state.tweets, 1):
            yield from self._events(state, tweet_id, tweet)
            for place, row in enumerate(tweet.rows):
                if place == 0 or not self.has(Guard.TURNS):
                    yield from self._row_steps(state, tweet_id, place, row)
            if tweet.events and not is_long:
                yield f"a round that hung pushes tweet {tweet_id}", self._pushed(state, tweet_id)
            if tweet.events > 1 and not self.has(Guard.NO_LATE_RETRACTION):
                retracted = self._retracted(state, tweet_id)
                yield f"a round that hung retracts tweet {tweet_id}", retracted
        if state.elements is not None:
            yield "the list or its state is evicted", Timeline(state.tweets)
            yield "the list is tended", self._tended(state, state.elements)

    def _events(self, state: Timeline, tweet_id: int, tweet: Tweet) -> Steps:
        """Yield what happens to the tweet. Only one of all tweets can be deleted."""
        may_be_deleted = all(other.events < 2 for other in state.tweets)
        if tweet.events in {0, 2} or (tweet.events == 1 and may_be_deleted):
            rows = (*tweet.rows, Row(is_retraction=tweet.exists))
            verb = ("posted", "deleted", "loaded again")[tweet.events]
            after = state.with_tweet(tweet_id, Tweet(rows, tweet.events + 1))
            yield f"tweet {tweet_id} is {verb}", after

    def _row_steps(self, state: Timeline, tweet_id: int, place: int, row: Row) -> Steps:
        tweet = state.tweets[tweet_id - 1]
        earlier, later = tweet.rows[:place], tweet.rows[place + 1 :]
        if row.is_taken:
            what = f"the {'retraction' if row.is_retraction else 'delivery'} of tweet {tweet_id}"
            done = tweet._replace(rows=earlier + later)
            yield f"the round counts {what}", state.with_tweet(tweet_id, done)
        taken = tweet._replace(rows=(*earlier, row._replace(is_taken=True), *later))
        after = state.with_tweet(tweet_id, taken)
        if row.is_retraction:
            yield f"a round retracts tweet {tweet_id}", self._retracted(after, tweet_id)
        elif state.elements is None or len(state.elements) <= self.cap:
            yield f"a round pushes tweet {tweet_id}", self._pushed(after, tweet_id)

    def _pushed(self, state: Timeline, tweet_id: int) -> Timeline:
        if state.elements is None:
            return state
        return state._replace(elements=(Element(tweet_id), *state.elements))

    def _retracted(self, state: Timeline, tweet_id: int) -> Timeline:
        if state.elements is None:
            return state
        kept = tuple(element for element in state.elements if element != Element(tweet_id))
        return state._replace(elements=kept) if kept else Timeline(state.tweets)

    def _tended(self, state: Timeline, elements: tuple[Element, ...]) -> Timeline:
        if len(elements) > self.cap:
            floor = max(state.floor, highest_id(elements[self.cap - 1 :]))
            if self.has(Guard.FLOOR):
                state = state._replace(floor=floor)
            elements = elements[: self.cap]
        if not state.is_rebuilding or not self.has(Guard.NO_MARK_IN_REBUILD):
            elements = (Element(highest_id(elements), is_mark=True), *elements)
        return state._replace(elements=elements)

    def _rebuild_steps(self, state: Timeline) -> Steps:
        kept = () if self.has(Guard.EMPTY_BEGIN) else state.elements or ()
        begun = Timeline(state.tweets, (*kept, Element(0)), is_rebuilding=True)
        yield "a rebuild begins", begun
        if not state.is_rebuilding:
            return
        if state.rebuild is None:
            found = [i for i, tweet in enumerate(state.tweets, 1) if tweet.exists][::-1]
            floor = found[self.most_entries - 1] - 1 if len(found) > self.most_entries else 0
            read = Rebuild(tuple(found[: self.most_entries]), floor)
            yield f"its snapshot has the tweets {read.tweet_ids}", state._replace(rebuild=read)
        elif state.elements is not None:
            yield "the rebuild finishes", self._finished(state, state.elements, state.rebuild)

    def _finished(
        self, state: Timeline, elements: tuple[Element, ...], rebuild: Rebuild
    ) -> Timeline:
        if rebuild.tweet_ids:
            elements = (*elements, Element(rebuild.tweet_ids[0], is_mark=True))
        elements += tuple(map(Element, rebuild.tweet_ids))
        highest = max(state.floor, rebuild.floor)
        floor = highest if self.has(Guard.HIGHER_FLOOR) else rebuild.floor
        return Timeline(state.tweets, elements, floor)

    def is_wrong(self, state: Timeline) -> bool:
        """Return whether some part of a believed list lacks a delivered tweet above its floor."""
        elements = state.elements
        if elements is None or state.is_rebuilding:
            return False
        tweets = enumerate(state.tweets, 1)
        delivered = {i for i, tweet in tweets if tweet.exists and not tweet.rows}
        return any(
            tweet_id > floor and Element(tweet_id) not in part
            for part, floor in self._parts(state.floor, elements)
            for tweet_id in delivered
        )

    def _parts(
        self, floor: int, elements: tuple[Element, ...]
    ) -> Iterator[tuple[tuple[Element, ...], int]]:
        """Yield each part of the list that can be read, and the floor of that part."""
        yield elements, floor
        for end in range(1, len(elements) + 1):
            part = elements[:end]
            marks = [element.tweet_id for element in part if element.is_mark]
            lowest = min(marks, default=MAX_ID) if self.has(Guard.MARK) else 0
            yield part, max(floor, lowest)
