"""Random histories of the list protocol: what users, workers and rebuilds do, in any order.

After every step, each list that a reader would believe holds all delivered tweets. At the end of a
history, when nothing is pending, the pages equal the query. Subclasses add what happens to servers.

No rule has a precondition. What servers do takes its time, so a history does not always repeat
exactly, and Hypothesis does not accept that rules are enabled at one time and not at another.

Clients come back for what is new. At the end they have been given all that arrived.

Each step is one of a process that reaches the servers in its own way: at `place` 0 as a process
that has just connected, at place 1 as one whose connections or knowledge are older.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import NamedTuple, Protocol
from unittest.mock import Mock, patch

import redis
from django.conf import settings
from django.db import connection
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from api.fields import MAX_ID
from backends.nodes import Primary
from backends.valkey import Unavailable
from tests.timelines import returning
from tests.timelines.lists import admit, all_pages, apply, deliver_all, page, query
from tests.timelines.machine import Worker, all_delivered, believed
from tests.timelines.people import NAMES, People, people, some
from tests.timelines.returning import LowWater
from timelines.delivery import admitting, flags, rounds
from timelines.lists import store
from timelines.lists.entries import Entry
from timelines.lists.listed import Listed
from timelines.lists.packing import Change
from timelines.lists.store import Begun, list_key, state_key
from timelines.lists.watch import Watch
from timelines.models import FanOut, Flag
from timelines.reading import pull
from timelines.reading.hydration import hydrate
from timelines.reading.pull import Snapshot
from tweets.models import Tweet
from users.models import Follow, User

places = st.sampled_from([0, 0, 0, 1])
MOST_ROUNDS = 20  # rounds that miss a server find the same rows again at once


class Servers(Protocol):
    """The servers of a history."""

    def reset(self) -> None:
        """Empty all servers, and let all processes reach them."""

    def settle(self) -> None:
        """Bring the servers to rest, so that a process at place 0 reaches all that it needs."""

    def seen_from(self, place: int) -> AbstractContextManager[None]:
        """Act as a process at that place."""

    def clients(self, place: int) -> Sequence[redis.Redis]:
        """Return clients for what a process at that place reaches."""


class SlowRead(NamedTuple):
    """A read between its two steps."""

    reader_id: int
    listed: Listed
    delivered: set[int]  # before the list was read


class History(People):
    """Everything that can happen to lists, in random order."""

    servers: Servers  # set by the test

    def __init__(self) -> None:
        with connection.cursor() as cursor:
            for table in ("users_follow", "tweets_tweet", "users_user"):
                cursor.execute(f"DELETE FROM {table}")
            for table in ("fanout", "flag", "sighting"):
                cursor.execute(f"DELETE FROM timelines_{table}")
            # The slots of the lists come from the ids, and should be the same in a repetition.
            cursor.execute("ALTER SEQUENCE users_user_id_seq RESTART")
        self.servers.reset()
        with self.servers.seen_from(0):
            admit()
        super().__init__()
        self.workers = [Worker(), Worker()]
        self.rebuilds: list[tuple[int, Begun, Snapshot | None]] = []
        self.reads: list[SlowRead] = []
        self.past_changes: list[Change] = []
        self.looks: list[Sequence[Primary]] = []
        self.low_water = LowWater()
        self.watches: dict[str, Watch] = {}

    @contextmanager
    def process(self, place: int) -> Iterator[None]:
        """Act as a process at that place, which ends if it reaches no server."""
        with self.servers.seen_from(place), suppress(Unavailable):
            yield

    @initialize(
        strangers=st.sets(st.tuples(people, people), max_size=3), posts=st.lists(people, max_size=6)
    )
    def create_initial_data(self, strangers: set[tuple[str, str]], posts: list[str]) -> None:
        """Create follows and tweets, and build every user's list."""
        for pair in itertools.product(NAMES, NAMES):
            self.follow(*pair, ends=pair in strangers)
        for author in posts:
            self.post(author, 1)
        self.work_through_the_outbox()
        self.read(set(NAMES), limit=2)

    # What readers see

    @rule(names=st.sets(people), limit=st.integers(1, 5), place=places)
    def read(self, names: set[str], limit: int, place: int = 0) -> None:
        for name in sorted(names):
            reader, delivered = User.objects.get(pk=self.users[name]), all_delivered()
            with self.servers.seen_from(place):
                shown = page(reader, limit=limit)
            assert shown == sorted(set(shown), reverse=True)
            assert set(shown) <= set(query(reader))
            due = delivered[reader.pk]
            assert {i for i in due if len(shown) < limit or i > shown[-1]} <= set(shown)

    @rule(
        limit=st.integers(1, 3),
        place=places,
        is_old=some,
        loses_all_but=st.sampled_from([None, None, 0, 1]),
    )
    def come_back(self, limit: int, place: int, is_old: int, loses_all_but: int | None) -> None:
        """Poll and read a stream at a process that looks for the low-water id, or knows an old one.

        Some of what the stream sends may be lost with the connection.
        """
        known = self.low_water if is_old < 7 else Mock(value=lambda: self.low_water.old)
        for name in NAMES:
            client = self.clients[name]
            with self.servers.seen_from(place), returning.knowing(known):
                shown = client.poll(limit)
                streamed = client.streamer.take(self.watch(), limit, loses_all_but)
            assert {*shown, *streamed} <= {*query(User.objects.get(pk=self.users[name]))}

    def watch(self) -> Watch:
        """Return the watch of a process that reaches the servers as this one does."""
        if settings.REDIS_URL not in self.watches:
            self.watches[settings.REDIS_URL] = Watch()
        return self.watches[settings.REDIS_URL]

    @rule(name=people, place=places)
    def begin_a_slow_read(self, name: str, place: int) -> None:
        delivered = all_delivered()[self.users[name]]
        with self.process(place):
            listed = store.read(self.users[name])
            if listed:
                self.reads.append(SlowRead(self.users[name], listed, delivered))

    @rule(which=some)
    def finish_a_slow_read(self, which: int) -> None:
        if not self.reads:
            return
        reader_id, listed, delivered = self.reads.pop(which % len(self.reads))
        with suppress(User.DoesNotExist):
            hydrated = hydrate(reader_id, [], listed.source, above=0, below=MAX_ID)
            if listed.is_believed(hydrated.follows_version, hydrated.generation):
                due = delivered & all_delivered()[reader_id]
                assert {i for i in due if i > listed.floor} <= set(listed.tweet_ids)

    # What workers do

    @rule(followers=st.sampled_from([1, rounds.ROUND_FOLLOWERS]), place=places)
    def work_through_the_outbox(
        self, followers: int = rounds.ROUND_FOLLOWERS, place: int = 0
    ) -> None:
        """Run rounds in a third worker, which skips the rows that the other two have claimed."""
        with self.process(place):
            for _ in range(MOST_ROUNDS):
                if not rounds.run_round(followers=followers).claimed:
                    break

    @rule(author=people, place=places)
    def deliver_a_tweet(self, author: str, place: int) -> None:
        self.post(author, 1)
        self.work_through_the_outbox(place=place)

    @rule(place=places)
    def sweep(self, place: int) -> None:
        """Flag everything that is pending. Then every page of the author's followers shows it."""
        flags.sweep()
        pending = FanOut.objects.filter(kind=FanOut.Kind.DELIVER).values("tweet_id")
        with self.servers.seen_from(place):
            for tweet in Tweet.objects.filter(pk__in=pending):
                for follow in Follow.objects.filter(followed=tweet.author_id):
                    assert tweet.pk in all_pages(follow.follower, limit=2)

    @rule(
        number=st.integers(0, 1),
        until=st.sampled_from(["claim", "push", "finish", "die"]),
        rows=st.integers(1, 4),
        followers=st.integers(1, 4),
        place=places,
    )
    def continue_a_round(
        self, number: int, until: str, rows: int, followers: int, place: int
    ) -> None:
        worker = self.workers[number]
        if not worker.claims:
            worker.claim(rows, followers)
        if until in {"push", "finish"} and worker.outcomes is None:
            self.push(worker, place)
        if until == "finish" and worker.outcomes is not None:
            worker.finish()
        elif until == "die":
            worker.die()

    def push(self, worker: Worker, place: int) -> None:
        """Push what the worker has claimed. It dies if it does not reach an admitted server."""
        self.past_changes += [
            Change(Entry(claim.tweet_id, claim.author_id), claim.follower_ids)
            for claim in worker.claims
            if claim.kind == FanOut.Kind.DELIVER
        ]
        with self.servers.seen_from(place):
            try:
                worker.push()
            except Unavailable:
                worker.die()

    @rule(which=some, place=places)
    def repeat_an_old_delivery(self, which: int, place: int) -> None:
        if not self.past_changes:
            return
        with self.process(place):
            apply(self.past_changes[which % len(self.past_changes)])

    @rule(place=places, how=st.sampled_from(["decide", "decide", "look", "decide late", "renew"]))
    def look_at_the_servers(self, place: int, how: str) -> None:
        with self.process(place):
            if how == "decide":
                admitting.sweep()
            elif how == "renew":
                admitting.renew()
            elif how == "look":
                self.looks.append(list(admitting._look(())))
            elif self.looks:  # the process was frozen between the two steps
                look = self.looks.pop()
                with patch.object(admitting, "_look", lambda known: look):
                    admitting.sweep()

    # How lists are rebuilt

    @rule(name=people, reads=st.booleans(), place=places)
    def begin_rebuild(self, name: str, reads: bool, place: int) -> None:
        with self.process(place):
            self.add_rebuild(self.users[name])
            if reads:
                self.continue_a_rebuild(-1, place)

    def add_rebuild(self, reader_id: int) -> None:
        begun = store.begin_rebuild(reader_id)
        if begun:
            self.rebuilds.append((reader_id, begun, None))

    @rule(which=some, place=places)
    def continue_a_rebuild(self, which: int, place: int) -> None:
        if not self.rebuilds:
            return
        reader_id, begun, snapshot = self.rebuilds.pop(which % len(self.rebuilds))
        with self.process(place):
            if snapshot:
                store.finish_rebuild(reader_id, begun.token, **snapshot._asdict())
            elif User.objects.filter(pk=reader_id).exists():
                snapshot = pull.snapshot(reader_id, begun.source)
                if snapshot:
                    self.rebuilds.append((reader_id, begun, snapshot))

    @rule(which=some, begins=st.booleans(), place=places)
    def expire_a_token(self, which: int, begins: bool, place: int) -> None:
        if not self.rebuilds:
            return
        reader_id, *_ = self.rebuilds[which % len(self.rebuilds)]
        state = state_key(reader_id)
        for client in self.servers.clients(place):
            with suppress(redis.ResponseError):  # it is a replica, or has other slots
                if client.hexists(state, "busy_until"):
                    client.hset(state, "busy_until", 0)
        if begins:
            with self.process(place):
                self.add_rebuild(reader_id)

    @rule(name=people, key=st.sampled_from([list_key, state_key]), place=places)
    def evict_list_or_state(self, name: str, key: Callable[[int], str], place: int) -> None:
        for client in self.servers.clients(place):
            with suppress(redis.ResponseError):
                client.delete(key(self.users[name]))

    # The invariant

    @invariant()
    def a_believed_list_holds_every_delivered_tweet(self) -> None:
        delivered = all_delivered()
        for place in (0, 1):
            with self.servers.seen_from(place):
                for reader_id in User.objects.values_list("id", flat=True):
                    for listed in believed(reader_id):
                        due = {i for i in delivered[reader_id] if i > listed.floor}
                        assert due <= set(listed.tweet_ids)

    def teardown(self) -> None:
        self.writer.commit()
        super().teardown()
        for worker in self.workers:
            worker.die()
            worker.connection.close()
        self.servers.settle()
        with self.servers.seen_from(0):
            admitting.sweep()
            deliver_all()
        Flag.objects.all().delete()  # they would hide what the lists lack
        self.a_believed_list_holds_every_delivered_tweet()
        for name in NAMES:
            reader = User.objects.get(pk=self.users[name])
            expected = query(reader)
            with self.servers.seen_from(0), returning.knowing(self.low_water):
                assert not self.clients[name].missed(expected)
                assert not self.clients[name].missed_by_its_stream(expected, self.watch())
            for limit in range(1, len(expected) + 2):
                with self.servers.seen_from(limit % 2):
                    assert all_pages(reader, limit) == expected
