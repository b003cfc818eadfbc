"""Helpers that create, fill and read home timelines in tests."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from api.fields import MAX_ID
from api.paging import Window
from backends.nodes import nodes
from tests.factories import FollowFactory
from timelines.delivery import admitting, rounds
from timelines.lists import changes, store, upkeep
from timelines.lists.admission import Admission
from timelines.lists.changes import Outcome
from timelines.lists.entries import Entry
from timelines.lists.packing import Change
from timelines.models import Admission as AdmissionRow
from timelines.models import FanOut
from timelines.reading import pull
from timelines.reading.page import home_page
from timelines.reading.pull import Snapshot
from tweets.models import Tweet
from users.models import User

AUTHOR = 1


def admit() -> None:
    """Admit the servers that REDIS_URL names now, without waiting for silence."""
    AdmissionRow.objects.all().delete()
    admitting.sweep()


def generation() -> int:
    """Return the generation under which lists are believed."""
    return AdmissionRow.objects.get().generation


def materialise(
    reader_id: int, *tweet_ids: int, version: int = 0, generation: int = 0, floor: int = 0
) -> None:
    """Create a finished list that holds the tweets."""
    upkeep.forget(reader_id)
    begun = store.begin_rebuild(reader_id)
    assert begun
    assert store.finish_rebuild(
        reader_id,
        begun.token,
        version=version,
        generation=generation,
        floor=floor,
        entries=[Entry(tweet_id, AUTHOR) for tweet_id in tweet_ids],
    )


class Started(NamedTuple):
    """A rebuild that has read Postgres and has not stored its list."""

    reader_id: int
    token: str
    snapshot: Snapshot

    def finish(self) -> bool:
        """Store the list, if nothing stops that."""
        return store.finish_rebuild(self.reader_id, self.token, **self.snapshot._asdict())


def start_rebuild(reader_id: int) -> Started:
    """Begin a rebuild and read Postgres."""
    begun = store.begin_rebuild(reader_id)
    assert begun
    snapshot = pull.snapshot(reader_id, begun.source)
    assert snapshot
    return Started(reader_id, begun.token, snapshot)


def add_followers(author: User, count: int) -> list[int]:
    """Give the author new followers, each with a list. Return their ids."""
    ids = [FollowFactory.create(followed=author).follower_id for _ in range(count)]
    for reader_id in ids:
        materialise(reader_id)
    return ids


def apply(*some: Change) -> Sequence[Outcome]:
    """Make the changes at the servers that REDIS_URL names, as if they were admitted."""
    return changes.apply(some, admissions())


def admissions() -> tuple[Admission, ...]:
    """Return the admissions of the servers that REDIS_URL names."""
    primaries = [primary for address in nodes().addresses() if (primary := nodes().look(address))]
    found = [
        Admission(slots, primary.address, primary.identity, 0)
        for primary in primaries
        for slots in primary.slots
    ]
    return tuple(sorted(found))


def push(tweet_id: int, *reader_ids: int) -> int:
    """Push a tweet onto the lists. Return how many it reached."""
    [outcome] = apply(Change(Entry(tweet_id, AUTHOR), reader_ids))
    assert not outcome.error
    return outcome.reached


def listed(reader_id: int) -> list[int] | None:
    """Return the tweet ids in the list, newest first, or None if there is no list."""
    found = store.read(reader_id, renew=False)
    return None if found is None else list(found.tweet_ids[::-1])


def deliver_all() -> None:
    """Run rounds until the outbox is empty."""
    while rounds.run_round().claimed:
        pass
    assert not FanOut.objects.exists()


def query(reader: User) -> list[int]:
    """Return the ids of the whole home timeline, newest first, as Postgres defines it."""
    tweets = Tweet.objects.filter(author__followed_by__follower=reader)
    return list(tweets.order_by("-id").values_list("id", flat=True))


def page(reader: User, **window: Any) -> list[int]:
    """Return the ids of one page."""
    return [tweet.id for tweet in home_page(reader.pk, Window(**window)).items]


def all_pages(reader: User, limit: int) -> list[int]:
    """Return the ids of all pages, newest first."""
    seen: list[int] = []
    while True:
        below = seen[-1] if seen else MAX_ID
        found = home_page(reader.pk, Window(limit=limit, max_id=below))
        assert len(found.items) == limit or not found.has_more
        seen += [tweet.id for tweet in found.items]
        if not found.has_more:
            return seen
