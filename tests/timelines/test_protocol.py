"""Random histories of the list protocol.

After every step, each list that a reader would believe holds all delivered tweets. At the end of a
history, when nothing is pending, the pages equal the query. TWIT_PROTOCOL_EXAMPLES sets the number
of histories, TWIT_PROTOCOL_STEPS their length.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.timelines.lists import all_pages, deliver_all, page, query
from tests.timelines.machine import (
    Valkey,
    Worker,
    believed,
    no_patience,
    own_valkey,
    small_lists,
    small_ranges,
)
from tests.valkey import client
from timelines.delivery import flags, rounds
from timelines.lists import changes, store
from timelines.lists.changes import Change
from timelines.lists.entries import Entry
from timelines.lists.store import list_key, state_key
from timelines.models import FanOut, Flag
from timelines.reading import pull
from timelines.reading.pull import Snapshot
from tweets.models import Tweet
from users.models import Follow, User

NAMES = ("ben", "alyssa", "louis")
EXAMPLES = int(os.environ.get("TWIT_PROTOCOL_EXAMPLES", "200"))
STEPS = int(os.environ.get("TWIT_PROTOCOL_STEPS", "40"))

people = st.sampled_from(NAMES)
some = st.integers(0, 9)


class History(RuleBasedStateMachine):
    """Everything that can happen to lists, in random order."""

    valkey: Valkey  # set by the test

    def __init__(self) -> None:
        super().__init__()
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM users_follow")
            cursor.execute("DELETE FROM tweets_tweet")
            cursor.execute("DELETE FROM timelines_fanout")
            cursor.execute("DELETE FROM timelines_flag")
            cursor.execute("DELETE FROM users_user")
        client().flushall()
        self.valkey.snapshot.unlink(missing_ok=True)
        self.users = {name: User.objects.create(username=name).pk for name in NAMES}
        self.workers = [Worker(), Worker()]
        self.rebuilds: list[tuple[int, str, Snapshot | None]] = []
        self.past_changes: list[Change] = []

    @initialize(follows=st.sets(st.tuples(people, people)), posts=st.lists(people, max_size=6))
    def create_initial_data(self, follows: set[tuple[str, str]], posts: list[str]) -> None:
        """Create follows and tweets, and build every user's list."""
        for follower, followed in sorted(follows):
            self.follow(follower, followed, ends=False)
        for author in posts:
            self.post(author, 1)
        self.work_through_the_outbox()
        self.read(set(NAMES), limit=2)
        self.take_snapshot()

    # What users do

    @rule(author=people, count=st.integers(1, 5))
    def post(self, author: str, count: int) -> None:
        tweets = [Tweet(author_id=self.users[author], message="hello") for _ in range(count)]
        Tweet.objects.bulk_create(tweets)

    @rule(
        how=st.sampled_from(["delete", "delete", "load again", "change author"]),
        which=some,
        author=people,
    )
    def change_a_tweet(self, how: str, which: int, author: str) -> None:
        tweets = list(Tweet.objects.order_by("-id")[:10])
        if how == "load again":  # as loading a fixture does with a deleted tweet
            gone = FanOut.objects.exclude(tweet_id__in=Tweet.objects.values("id"))
            tweets = [Tweet(pk=row.tweet_id, message="again") for row in gone.order_by("-id")]
        if not tweets:
            return
        tweet = tweets[which % len(tweets)]
        if how == "delete":
            Tweet.objects.filter(pk=tweet.pk)._raw_delete("default")
        elif how == "change author":
            Tweet.objects.filter(pk=tweet.pk).update(author_id=self.users[author])
        else:
            tweet.author_id = self.users[author]
            Tweet.objects.bulk_create([tweet])

    @rule(follower=people, followed=people, ends=st.booleans())
    def follow(self, follower: str, followed: str, ends: bool) -> None:
        ids = {"follower_id": self.users[follower], "followed_id": self.users[followed]}
        if ends:
            Follow.objects.filter(**ids)._raw_delete("default")
        elif follower != followed:
            Follow.objects.bulk_create([Follow(**ids)], ignore_conflicts=True)

    @rule(how=st.sampled_from(["sign up again", "load again", "rename", "rename"]), name=people)
    def change_a_user(self, how: str, name: str) -> None:
        user = User.objects.get(pk=self.users[name])
        if how == "rename":
            user.username, user.follows_version = f"{name} the second", 0  # a stale instance
            user.save()
            return
        user.delete()
        user = User(username=name)
        if how == "load again":
            user.pk = self.users[name]
        user.save_base(raw=True)
        self.users[name] = user.pk

    @rule(names=st.sets(people), limit=st.integers(1, 5))
    def read(self, names: set[str], limit: int) -> None:
        for name in sorted(names):
            reader = User.objects.get(pk=self.users[name])
            shown = page(reader, limit=limit)
            assert shown == sorted(set(shown), reverse=True)
            assert set(shown) <= set(query(reader))

    # What workers do

    @rule(followers=st.sampled_from([1, rounds.ROUND_FOLLOWERS]))
    def work_through_the_outbox(self, followers: int = rounds.ROUND_FOLLOWERS) -> None:
        """Run rounds in a third worker, which skips the rows that the other two have claimed."""
        while rounds.run_round(followers=followers).claimed:
            pass

    @rule()
    def sweep(self) -> None:
        """Flag everything that is pending. Then every page of the author's followers shows it."""
        flags.sweep()
        pending = FanOut.objects.filter(kind=FanOut.Kind.DELIVER).values("tweet_id")
        for tweet in Tweet.objects.filter(pk__in=pending):
            for follow in Follow.objects.filter(followed=tweet.author_id):
                assert tweet.pk in all_pages(follow.follower, limit=2)

    @rule(
        number=st.integers(0, 1),
        until=st.sampled_from(["claim", "push", "finish", "die"]),
        rows=st.integers(1, 4),
        followers=st.integers(1, 4),
    )
    def continue_a_round(self, number: int, until: str, rows: int, followers: int) -> None:
        worker = self.workers[number]
        if not worker.claims:
            worker.claim(rows, followers)
        if until in {"push", "finish"} and worker.outcomes is None:
            worker.push()
            self.past_changes += [
                Change(Entry(claim.tweet_id, claim.author_id), claim.follower_ids)
                for claim in worker.claims
                if claim.kind == FanOut.Kind.DELIVER
            ]
        if until == "finish":
            worker.finish()
        elif until == "die":
            worker.die()

    @precondition(lambda self: self.past_changes)
    @rule(which=some)
    def repeat_an_old_delivery(self, which: int) -> None:
        changes.apply([self.past_changes[which % len(self.past_changes)]])

    @rule(name=people, reads=st.booleans())
    def begin_rebuild(self, name: str, reads: bool) -> None:
        token = store.begin_rebuild(self.users[name])
        if token:
            self.rebuilds.append((self.users[name], token, None))
            if reads:
                self.continue_a_rebuild(-1)

    @precondition(lambda self: self.rebuilds)
    @rule(which=some)
    def continue_a_rebuild(self, which: int) -> None:
        reader_id, token, snapshot = self.rebuilds.pop(which % len(self.rebuilds))
        if snapshot:
            store.finish_rebuild(reader_id, token, **snapshot._asdict())
        elif User.objects.filter(pk=reader_id).exists():
            self.rebuilds.append((reader_id, token, pull.snapshot(reader_id)))

    @precondition(lambda self: self.rebuilds)
    @rule(which=some, begins=st.booleans())
    def expire_a_token(self, which: int, begins: bool) -> None:
        reader_id, *_ = self.rebuilds[which % len(self.rebuilds)]
        state = state_key(reader_id)
        if client().hexists(state, "busy_until"):
            client().hset(state, "busy_until", 0)
        if begins:
            token = store.begin_rebuild(reader_id)
            if token:
                self.rebuilds.append((reader_id, token, None))

    # What happens to Valkey

    @rule(name=people, which=st.integers(0, 1))
    def evict_list_or_state(self, name: str, which: int) -> None:
        client().delete((list_key, state_key)[which](self.users[name]))

    @rule()
    def take_snapshot(self) -> None:
        self.valkey.take_snapshot()

    @rule(from_snapshot=st.sampled_from([True, True, False]))
    def restart(self, from_snapshot: bool) -> None:
        self.valkey.restart(from_snapshot=from_snapshot)

    # The invariant

    @invariant()
    def a_believed_list_holds_every_delivered_tweet(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(DELIVERED)
            delivered = defaultdict(list)
            for reader_id, tweet_id in cursor.fetchall():
                delivered[reader_id].append(tweet_id)
        for reader_id, version in User.objects.values_list("id", "follows_version"):
            for listed in believed(reader_id, version):
                due = {i for i in delivered[reader_id] if i > listed.floor}
                assert due <= set(listed.tweet_ids)

    def teardown(self) -> None:
        for worker in self.workers:
            worker.die()
            worker.connection.close()
        deliver_all()
        Flag.objects.all().delete()  # they would hide what the lists lack
        self.a_believed_list_holds_every_delivered_tweet()
        for name in NAMES:
            reader = User.objects.get(pk=self.users[name])
            expected = query(reader)
            for limit in range(1, len(expected) + 2):
                assert all_pages(reader, limit) == expected


# Readers and tweets, for the tweets that have no pending fan-out.
DELIVERED = """
    SELECT follow.follower_id, tweet.id
    FROM tweets_tweet AS tweet
    JOIN users_follow AS follow ON follow.followed_id = tweet.author_id
    WHERE NOT EXISTS (SELECT FROM timelines_fanout WHERE tweet_id = tweet.id)
"""


@pytest.fixture
def valkey(transactional_db: None, tmp_path: Path) -> Iterator[Valkey]:
    with own_valkey(tmp_path) as own:
        yield own


@pytest.mark.timeout(600)  # on a busy machine
@pytest.mark.parametrize(("cap", "spacing"), [(7, 1), (14, 2)])
def test_every_history_keeps_the_invariant(valkey: Valkey, cap: int, spacing: int) -> None:
    History.valkey = valkey
    with small_lists(cap=cap, spacing=spacing), small_ranges(long_followers=0), no_patience():
        run_state_machine_as_test(
            History,
            settings=settings(
                max_examples=EXAMPLES // 2,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
