"""The thread that supplies streams, without a web server: failures, access, slow clients."""

import asyncio
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import Any
from unittest.mock import Mock, patch

import pytest
from django.db import OperationalError, connection, connections
from django.db.models.functions import Now
from knox.models import AuthToken

from api.cursors import Cursor
from tests.factories import TweetFactory
from tests.stack import wait_until
from tests.timelines import returning
from tests.timelines.lists import deliver_all, page
from timelines.delivery.rounds import run_round
from timelines.lists import upkeep
from timelines.lists.watch import Watch
from timelines.models import FanOut
from timelines.reading.hydration import hydrate_all
from timelines.reading.page import cursor_of_now
from timelines.streaming import checks, news, stream
from timelines.streaming import hub as hubs
from timelines.streaming.bounds import TooManyInAll
from timelines.streaming.hub import Hub
from timelines.streaming.roster import Roster
from timelines.streaming.stream import Stream
from tweets.models import Tweet
from users.models import Follow, User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


@pytest.fixture
def hub(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that pauses shortly after failures. Its thread ends with the test."""
    started: list[threading.Thread] = []

    def thread(*, target: Callable[[], None], **_: object) -> threading.Thread:
        def run() -> None:
            with suppress(SystemExit):
                target()
            connections.close_all()

        started.append(threading.Thread(target=run))
        return started[0]

    monkeypatch.setattr(hubs, "PAUSE_SECONDS", 0.05)
    with patch.object(hubs, "Thread", thread):
        made = Hub()
    yield made
    monkeypatch.setattr(made, "_turn", sys.exit)
    made.wake()
    started[0].join(30)
    assert not started[0].is_alive()


class Client:
    """Takes what a stream is given. While it is paused, it takes nothing."""

    def __init__(
        self,
        hub: Hub,
        loop: asyncio.AbstractEventLoop,
        reader: User,
        is_allowed: Callable[[], bool] = lambda: True,
        digest: str = "",
    ) -> None:
        cursor = cursor_of_now(reader.pk)
        self.stream = hub.open(
            reader.pk, cursor, is_allowed, digest=digest, user_id=None, address=""
        )
        self.parts: list[bytes] = []
        self.flows = asyncio.Event()
        self.loop = loop
        self.reading = asyncio.run_coroutine_threadsafe(self._read(), loop)
        self.go_on()

    async def _read(self) -> None:
        try:
            async for part in self.stream:
                self.parts.append(part)
                await self.flows.wait()
        finally:
            self.stream.close()

    def go_on(self) -> None:
        self.loop.call_soon_threadsafe(self.flows.set)

    def pause(self) -> None:
        self.loop.call_soon_threadsafe(self.flows.clear)

    @property
    def is_over(self) -> bool:
        return self.reading.done()

    def ids(self, name: str = "tweet") -> list[int]:
        """Return the ids of the events of that name."""
        blocks = [block.split(b"\n") for block in b"".join(self.parts).split(b"\n\n")]
        found = [dict(line.split(b": ", 1) for line in block if line) for block in blocks]
        datas = [each[b"data"] for each in found if each.get(b"event") == name.encode()]
        return [int(json.loads(data)["id"]) for data in datas]

    def leave(self) -> None:
        self.loop.call_soon_threadsafe(self.stream.stop)
        self.go_on()
        self.reading.result(30)


Enter = Callable[..., Client]


@pytest.fixture
def enter(
    hub: Hub,
    loop: asyncio.AbstractEventLoop,
    ben: User,
    alyssa: User,
    follow: Callable[[User, User], Follow],
) -> Iterator[Enter]:
    """enter() returns a new client of ben's stream, who follows alyssa."""
    follow(ben, alyssa)
    clients: list[Client] = []

    def start(**access: Any) -> Client:
        clients.append(Client(hub, loop, ben, **access))
        return clients[-1]

    yield start
    for each in clients:
        each.leave()


def post(author: User, count: int = 1) -> list[int]:
    """Post tweets and deliver them. Return their ids."""
    ids = [tweet.pk for tweet in TweetFactory.create_batch(count, author=author)]
    deliver_all()
    return ids


def got(client: Client, ids: list[int], name: str = "tweet") -> Callable[[], bool]:
    return lambda: client.ids(name) == ids


def failing(times: int, error: Exception, function: Callable[..., Any]) -> Mock:
    """Return the function as it fails a few times."""
    failures = itertools.repeat(error, times)

    def fail_or_call(*arguments: Any) -> Any:
        if failure := next(failures, None):
            raise failure
        return function(*arguments)

    return Mock(side_effect=fail_or_call)


# Failures


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["hydrate_all", "low_water", "uncertified", "revoked", "home_page"]
)
def test_streams_outlast_an_outage_of_postgres_and_get_each_tweet_once(
    enter: Enter, ben: User, alyssa: User, name: str
) -> None:
    client = enter()
    ids = post(alyssa)
    wait_until(got(client, ids))
    module = {"uncertified": hubs, "revoked": checks}.get(name, news)
    broken = failing(3, OperationalError("gone"), getattr(module, name))
    with patch.object(module, name, broken), patch.object(hubs, "SILENCE_SECONDS", (0.1, 0.2)):
        if name == "home_page":  # which is asked for lists that are absent
            upkeep.forget(ben.pk)
        ids += post(alyssa, 2)
        wait_until(got(client, ids))
        wait_until(lambda: broken.call_count > 3)
    assert not client.is_over


def test_streams_outlast_the_loss_of_their_connection_to_postgres(
    enter: Enter, alyssa: User
) -> None:
    client = enter()
    ids = post(alyssa)
    wait_until(got(client, ids))
    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND backend_type = 'client backend'"
            )
        ids += post(alyssa, 2)
        wait_until(got(client, ids))
    assert not client.is_over


def test_after_an_unexpected_failure_streams_end_and_new_ones_work(
    enter: Enter, alyssa: User
) -> None:
    client = enter()
    wait_until(got(client, post(alyssa)))
    broken = failing(1, ValueError("unexpected"), hydrate_all)
    with patch.object(news, "hydrate_all", broken), patch.object(hubs.log, "exception") as logged:
        post(alyssa)
        wait_until(lambda: client.is_over)
    logged.assert_called_once()
    second = enter()
    wait_until(lambda: second.parts)
    wait_until(got(second, post(alyssa)))


# Arrivals


def test_what_is_delivered_while_lists_are_read_arrives_next_time(
    ben: User, alyssa: User, follow: Callable[[User, User], Follow]
) -> None:
    """The low-water id must be older than the lists."""
    follow(ben, alyssa)
    page(ben, limit=1)
    late, *others = (tweet.pk for tweet in TweetFactory.create_batch(3, author=alyssa))
    FanOut.objects.filter(tweet_id=late).update(next_attempt_at=Now() + timedelta(days=1))
    assert run_round().claimed
    watch, streamer = Watch(), returning.Streamer(ben.pk)

    def read_and_deliver(reader_ids: set[int], newest: int) -> list[Any]:
        found = [*Watch.read(watch, reader_ids, newest)]
        FanOut.objects.update(next_attempt_at=Now())
        deliver_all()
        return found

    with returning.looking_at_once(), returning.knowing(returning.LowWater()):
        with patch.object(watch, "read", read_and_deliver):
            assert streamer.take(watch, 10) == others
        assert streamer.take(watch, 10) == [late]


# Access


def test_a_revoked_token_ends_its_stream_and_nothing_that_was_posted_later_is_sent(
    enter: Enter, ben: User, alyssa: User
) -> None:
    token, _ = AuthToken.objects.create(ben)
    client, other = enter(digest=token.digest), enter()
    before = post(alyssa)
    wait_until(got(client, before))
    with patch.object(checks, "REVOKED_SECONDS", 1_000):
        time.sleep(hubs.TICK_SECONDS * 2)
        token.delete()
        after = post(alyssa)
        wait_until(got(other, before + after))
        wait_until(lambda: client.is_over)
    assert client.ids() == before
    assert not other.is_over


@pytest.mark.parametrize("how", ["delete", "expire", "deactivate"])
def test_a_stream_ends_soon_after_its_token(
    enter: Enter, ben: User, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(checks, "REVOKED_SECONDS", 0.1)
    token, _ = AuthToken.objects.create(ben)
    client = enter(digest=token.digest)
    wait_until(lambda: client.parts)
    time.sleep(0.4)
    assert not client.is_over
    if how == "delete":
        token.delete()
    elif how == "expire":
        AuthToken.objects.update(expiry=token.created)
    else:
        User.objects.update(is_active=False)
    wait_until(lambda: client.is_over)


def test_a_stream_ends_once_its_client_may_not_read_any_more(
    enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHECK_SECONDS", (0.1, 0.2))
    allowed = [True, True]
    client, other = enter(is_allowed=lambda: bool(allowed and allowed.pop())), enter()
    wait_until(lambda: client.is_over)
    assert allowed == []
    assert not other.is_over


def test_a_check_that_fails_is_made_up_for_soon(
    enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHECK_SECONDS", (0.5, 0.5))
    client = enter(is_allowed=failing(2, OperationalError("gone"), lambda: False))
    wait_until(lambda: client.stream.check_at)
    monkeypatch.setattr(checks, "CHECK_SECONDS", (1_000, 1_000))
    wait_until(lambda: client.is_over)


# What is gone


def test_unfollowing_takes_the_authors_tweets_off(
    enter: Enter, ben: User, alyssa: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "SILENCE_SECONDS", (0.1, 0.2))
    monkeypatch.setattr(hubs, "UNWATCHED_SECONDS", (0.1, 0.2))
    client = enter()
    ids = post(alyssa, 3)
    wait_until(got(client, ids))
    Follow.objects.all().delete()
    wait_until(got(client, ids, "gone"))
    time.sleep(0.5)
    assert client.ids("gone") == ids


def test_a_tweet_that_is_deleted_unnoticed_is_gone_all_the_same(
    enter: Enter, alyssa: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its retraction is not done."""
    monkeypatch.setattr(hubs, "SILENCE_SECONDS", (0.1, 0.2))
    client = enter()
    ids = post(alyssa, 2)
    wait_until(got(client, ids))
    Tweet.objects.get(pk=ids[0]).delete()
    wait_until(got(client, ids[:1], "gone"))


def test_the_stream_of_a_deleted_user_ends(
    enter: Enter, ben: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "SILENCE_SECONDS", (0.1, 0.2))
    client = enter()
    wait_until(lambda: client.parts)
    ben.delete()
    wait_until(lambda: client.is_over)


# Slow clients, and many


def test_a_slow_client_is_given_a_bounded_part_at_a_time_and_misses_nothing(
    enter: Enter, alyssa: User
) -> None:
    client, quick = enter(), enter()
    wait_until(lambda: client.parts)
    client.pause()
    ids = [id_ for _ in range(4) for id_ in post(alyssa, news.MOST)]
    wait_until(got(quick, ids))
    before = len(client.parts)
    client.go_on()
    wait_until(got(client, ids))
    sizes = [part.count(b"event: tweet") for part in client.parts[before:]]
    assert max(sizes) <= 2 * news.MOST


def test_heartbeats_show_that_a_silent_stream_lives(
    enter: Enter, alyssa: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.005)
    client, ids = enter(), list[int]()
    for _ in range(20):
        ids += post(alyssa)
    wait_until(got(client, ids))
    count = len(client.parts)
    wait_until(lambda: len(client.parts) > count + 3)
    assert client.parts[-1] == b": heartbeat\n\n"
    assert client.ids() == ids


def test_more_streams_than_are_supplied_at_once_get_each_tweet(
    enter: Enter, alyssa: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "AT_ONCE", 2)
    clients = [enter() for _ in range(7)]
    ids = post(alyssa, 2)
    for client in clients:
        wait_until(got(client, ids))


def test_streams_that_have_been_due_longest_are_supplied_first() -> None:
    roster, many = Roster(), [Stream(n, Cursor(0), None, is_allowed=bool) for n in range(100)]  # type: ignore[arg-type]
    for each in many:
        each.is_idle = True
        roster.add(each)
    roster.unmark(many[:3])
    roster.mark(many)
    assert roster.ready() == many[3:] + many[:3]


def test_a_stream_that_ends_before_it_begins_counts_no_more(
    hub: Hub, ben: User, settings: Any
) -> None:
    hub._bounds._most = 1

    def open_one() -> Stream:
        return hub.open(
            ben.pk, Cursor(0), lambda: True, digest="", user_id=None, address="127.0.0.1"
        )

    for _ in range(3):
        opened = open_one()
        with pytest.raises(TooManyInAll):
            open_one()
        opened.close()
        opened.close()


def test_a_process_has_one_hub_whichever_threads_ask_first(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Mock(side_effect=lambda: time.sleep(0.1))
    monkeypatch.setattr(hubs, "_hub", cache(made))
    threads = [threading.Thread(target=hubs.hub) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made.assert_called_once()
