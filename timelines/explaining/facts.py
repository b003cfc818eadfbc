"""What Postgres and Redis know of a home timeline and of a tweet, read without changing anything.

The service's own functions answer. They are asked one after the other while the service runs. The
tweet and its outbox rows come before the list, so that a tweet whose delivery ends in between is
in the list.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from api.fields import MAX_ID
from api.paging import DEFAULT_LIMIT, MAX_LIMIT, Page, Window
from backends.postgres import binary_cursor
from backends.valkey import Unavailable
from timelines.lists import admission, store, upkeep
from timelines.lists.admission import Admission
from timelines.lists.listed import Doubt
from timelines.lists.upkeep import Inspected
from timelines.models import FanOut, Flag
from timelines.reading import pull
from timelines.reading.hydration import hydrate
from timelines.reading.page import from_list
from tweets.displayed import DisplayedTweet
from tweets.models import Tweet
from users.models import Follow, User

# How far down the pages are looked through: 10 statements at most.
MOST_TWEETS = 10 * MAX_LIMIT


class ListFacts(NamedTuple):
    """One reader's list, and what decides whether it is believed."""

    reader: User
    slot: int
    admission: Admission | None  # of the slot
    follows_version: int  # the reader's
    generation: int | None = None  # of the server that answered; None if it is not admitted
    inspected: Inspected | None = None  # None if the list or its state is absent
    doubt: Doubt | None = None  # None if the list is believed, or absent
    failure: str = ""  # of Redis

    def page(self, window: Window) -> Page[DisplayedTweet]:
        """Return the page that the reader gets, without rebuilding the list."""
        page = None
        if self.inspected:
            page = from_list(self.reader.pk, self.inspected.listed, window)
        return page or pull.page(self.reader.pk, window)

    def shows(self, tweet_id: int) -> bool:
        """Return whether a page of the reader shows the tweet."""
        alone = Window(limit=1, max_id=min(tweet_id + 1, MAX_ID), since_id=tweet_id - 1)
        return bool(self.page(alone).items)

    def pages_down_to(self, tweet_id: int) -> dict[int, int]:
        """Return the number of the page, of the default limit, that shows each tweet.

        It ends at that tweet, or after MOST_TWEETS.
        """
        shown: list[int] = []
        window = Window(limit=MAX_LIMIT, since_id=tweet_id - 1)
        while len(shown) < MOST_TWEETS:
            page = self.page(window)
            shown += [tweet.id for tweet in page.items]
            if not page.has_more:
                break
            window = replace(window, max_id=shown[-1])
        return {shown_id: place // DEFAULT_LIMIT + 1 for place, shown_id in enumerate(shown)}


class TweetFacts(NamedTuple):
    """One tweet, and how far its delivery is."""

    tweet_id: int
    tweet: Tweet | None  # None if there is none with that id
    followed_at: datetime | None  # when the reader followed its author; None if they don't
    fan_outs: Sequence[FanOut]  # its rows in the outbox, in the order in which they are done
    flag: Flag | None

    def deliveries_to(self, facts: ListFacts) -> list[FanOut]:
        """Return the rows that are still to bring the tweet to the reader."""
        return [
            row
            for row in self.fan_outs
            if row.kind == FanOut.Kind.DELIVER and row.is_for(facts.reader.pk, facts.slot)
        ]


def of_list(reader: User) -> ListFacts:
    """Return the facts of the reader's list."""
    slot = store.slot(reader.pk)
    with binary_cursor() as cursor:
        admitted = next((a for a in admission.current(cursor) if slot in a.slots), None)
    facts = ListFacts(reader, slot, admitted, reader.follows_version)
    try:
        inspected = upkeep.inspect(reader.pk)
    except Unavailable as error:
        return facts._replace(failure=str(error))
    if inspected is None:
        return facts
    version, generation, _ = hydrate(reader.pk, [], inspected.listed.source, above=0, below=0)
    doubt = inspected.listed.doubt(version, generation)
    return ListFacts(reader, slot, admitted, version, generation, inspected, doubt)


def of_tweets(reader: User, tweet_ids: Collection[int]) -> dict[int, TweetFacts]:
    """Return the facts of each tweet, in four statements."""
    tweets = Tweet.objects.select_related("author").in_bulk(tweet_ids)
    authors = {tweet.author_id for tweet in tweets.values()}
    follows = Follow.objects.filter(follower=reader, followed__in=authors)
    followed_at = dict(follows.values_list("followed_id", "created_at"))
    fan_outs = defaultdict[int, list[FanOut]](list)
    rows = FanOut.objects.filter(tweet_id__in=tweet_ids)
    for row in rows.order_by("turn", "after_follower_id", "id"):
        fan_outs[row.tweet_id].append(row)
    flags = Flag.objects.in_bulk(tweet_ids)
    return {
        tweet_id: TweetFacts(
            tweet_id,
            tweet := tweets.get(tweet_id),
            followed_at.get(tweet.author_id) if tweet else None,
            fan_outs[tweet_id],
            flags.get(tweet_id),
        )
        for tweet_id in tweet_ids
    }
