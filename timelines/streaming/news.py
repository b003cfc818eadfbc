"""What is new to streams, and what they must not show any more."""

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from api.cursors import Cursor
from api.fields import MAX_ID
from api.json import JSONRenderer
from api.paging import Window
from api.streams import event
from backends import metrics
from timelines.lists import store
from timelines.lists.listed import Listed
from timelines.lists.watch import Watch
from timelines.reading.hydration import Asked, Hydrated, hydrate_all
from timelines.reading.low_water import low_water
from timelines.reading.page import LIST_SECONDS, home_page
from timelines.streaming.stream import Stream
from tweets.displayed import DisplayedTweet
from tweets.serializers import to_json

MOST = 50  # tweets that a stream is given at once
_TWEETS, _GONE = map(metrics.STREAM_EVENTS.labels, ("tweet", "gone"))
NEWEST = store.MARK_SPACING + 40  # elements of a list: enough for a mark and what is new


class News(NamedTuple):
    """What a stream is to be given."""

    tweets: Sequence[DisplayedTweet]  # the lowest that are new, ascending
    low: int  # the low-water id, as of a moment before they were looked for
    is_all: bool  # whether no more are new
    suspects: Sequence[int]  # tweets that were shown and perhaps must not be any more

    def parts(self, stream: Stream, gone: set[int]) -> Iterator[bytes]:
        """Yield the events, and note in the stream what its client is given."""
        _TWEETS.inc(len(self.tweets))
        _GONE.inc(len(gone))
        for tweet in self.tweets:
            yield event("tweet", encoded(tweet), stream.advance(tweet, self.low))
        if self.is_all:
            stream.cursor = Cursor.of(max(self.low, stream.cursor.low), stream.cursor.given)
        for tweet_id in sorted(gone):
            yield event("gone", b'{"id":"%d"}' % tweet_id)
        if gone:
            stream.shown = [shown for shown in stream.shown if shown not in gone]


@lru_cache(1000)  # most tweets go to many streams
def encoded(tweet: DisplayedTweet) -> bytes:
    """Return the tweet's JSON."""
    return JSONRenderer().render(to_json(tweet))


def of_page(stream: Stream) -> News:
    """Return what is new to a stream, as a page would show it. Raises User.DoesNotExist."""
    low = low_water().value()
    window = Window(limit=MOST, since_id=stream.cursor.low, after=stream.cursor)
    page = home_page(stream.reader_id, window)
    return News(page.items[::-1], low, not page.has_more, stream.shown)


def of_lists(watch: Watch, streams: Sequence[Stream]) -> dict[Stream, News | None]:
    """Return what is new to many streams, as far as the newest parts of their lists say.

    It is None for a stream whose list is absent or not believed, or does not reach far enough:
    `of_page` finds out. Their lists are watched from now on.
    """
    low, started = low_water().value(), time.monotonic()
    lists = dict(watch.read({stream.reader_id for stream in streams}, NEWEST))
    asked: dict[Stream, Asked] = {}
    for stream in streams:
        listed = lists[stream.reader_id]
        if listed is not None and listed.floor <= stream.cursor.low:
            asked[stream] = _asked(stream, listed)
    news: dict[Stream, News | None] = dict.fromkeys(streams)
    hydrated = hydrate_all([*asked.values()]) if asked else []
    if time.monotonic() - started > LIST_SECONDS:
        return news
    for (stream, wanted), found in zip(asked.items(), hydrated, strict=True):
        listed = lists[stream.reader_id]
        if found and listed and listed.is_believed(found.follows_version, found.generation):
            news[stream] = _news(stream, wanted, listed, found, low)
    return news


def _asked(stream: Stream, listed: Listed) -> Asked:
    """Return the lowest MOST entries that are new to the stream."""
    low, given = stream.cursor
    ids = sorted({*listed.between(low, MAX_ID)}.difference(given))
    below = ids[MOST] if len(ids) > MOST else MAX_ID
    return Asked(stream.reader_id, ids[:MOST], listed.source, above=low, below=below)


def _news(stream: Stream, asked: Asked, listed: Listed, found: Hydrated, low: int) -> News | None:
    given, is_all = {*stream.cursor.given}, asked.below == MAX_ID
    tweets = [tweet for tweet in reversed(found.tweets) if tweet.id not in given]
    if not (tweets or is_all):  # a page also looks at what is above
        return None
    if found.follows_version != stream.version or time.monotonic() >= stream.read_at:
        suspects: Sequence[int] = stream.shown
    else:
        present = {*listed.tweet_ids}
        suspects = [id_ for id_ in stream.shown if id_ > listed.floor and id_ not in present]
    stream.version = found.follows_version
    return News(tweets, low, is_all, suspects)
