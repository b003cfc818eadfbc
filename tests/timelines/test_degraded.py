"""Without Redis, timelines are slower but correct."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backends import servers
from backends.breaker import Breaker
from backends.valkey import REQUEST_SECONDS, Unavailable
from tests.factories import FollowFactory, TweetFactory
from tests.timelines.lists import admit, all_pages, deliver_all, page, query
from tests.timelines.machine import own_valkey
from tests.valkey import client
from timelines.delivery.rounds import run_round
from timelines.explaining.explanation import explain
from timelines.lists import store, upkeep
from timelines.lists.store import list_key, state_key
from timelines.models import FanOut
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _short_breaker_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "BREAKER_SECONDS", 0.5)


def test_an_outage_of_valkey_loses_no_tweet_and_lists_are_used_again_afterwards(
    ben: User, alyssa: User, tmp_path: Path
) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    with own_valkey(tmp_path) as own:
        page(ben)
        own.child.stop()
        TweetFactory.create_batch(3, author=alyssa)
        assert all_pages(ben, limit=2) == query(ben)
        with pytest.raises(Unavailable):
            run_round()
        assert FanOut.objects.count() == 3
        assert not FanOut.objects.filter(attempts__gt=0).exists()
        own.start()
        time.sleep(0.5)
        admit()
        deliver_all()
        assert all_pages(ben, limit=2) == query(ben)
        assert store.read(ben.pk)


def test_a_connection_reset_during_a_request_raises_unavailable(ben: User, tmp_path: Path) -> None:
    with own_valkey(tmp_path) as own:
        page(ben)
        process = own.child.process
        process.send_signal(signal.SIGSTOP)
        # The process dies with an unread command, so the kernel resets the connection.
        killer = threading.Timer(0.1, process.kill)
        killer.start()
        with pytest.raises(Unavailable):
            store.read(ben.pk)
        killer.join()


def test_a_frozen_valkey_costs_one_timeout_per_interval(
    ben: User, alyssa: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "BREAKER_SECONDS", 60)
    monkeypatch.setattr(servers.Server, "patience_seconds", REQUEST_SECONDS)
    FollowFactory.create(follower=ben, followed=alyssa)
    with own_valkey(tmp_path) as own:
        page(ben)
        own.freeze()
        started = time.monotonic()
        page(ben)
        assert REQUEST_SECONDS <= time.monotonic() - started < 1
        started = time.monotonic()
        for _ in range(20):
            page(ben)
        assert time.monotonic() - started < 5 * REQUEST_SECONDS  # not 20 timeouts
        own.thaw()


def test_without_free_memory_for_lists_reads_work_and_tweets_stay_pending(
    ben: User, alyssa: User, tmp_path: Path
) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    with own_valkey(tmp_path):
        page(ben)
        client().config_set("maxmemory-policy", "noeviction")
        client().config_set("maxmemory", 1)
        TweetFactory.create(author=alyssa)
        with pytest.raises(Unavailable, match="maxmemory"):
            run_round()
        assert FanOut.objects.count() == 1
        upkeep.forget(ben.pk)
        assert all_pages(ben, limit=2) == query(ben)
        client().config_set("maxmemory", 0)
        deliver_all()
        assert all_pages(ben, limit=2) == query(ben)


@pytest.mark.parametrize("key", [list_key, state_key])
def test_the_next_read_replaces_a_key_of_the_wrong_type(
    ben: User, alyssa: User, key: Callable[[int], str]
) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    client().set(key(ben.pk), "of the wrong type")
    tweet = TweetFactory.create(author=alyssa)
    assert page(ben) == [tweet.pk]
    found = store.read(ben.pk)
    assert found
    assert found.tweet_ids == [tweet.pk]


@pytest.mark.parametrize(
    "write",
    [
        lambda reader_id: client().lpush(list_key(reader_id), b"\x0a\xff"),
        lambda reader_id: client().hset(state_key(reader_id), "version", "one"),
    ],
)
def test_the_next_read_replaces_a_list_with_foreign_bytes(
    ben: User, alyssa: User, write: Callable[[int], object]
) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    tweet = TweetFactory.create(author=alyssa)
    assert page(ben) == [tweet.pk]
    write(ben.pk)
    explain(ben.pk, tweet.pk)
    assert page(ben) == [tweet.pk]
    assert store.read(ben.pk)


def test_a_breaker_lets_one_trial_through_per_interval() -> None:
    breaker = Breaker(0.1, "test")
    assert breaker.lets_through()
    breaker.trip()
    assert not breaker.lets_through()
    time.sleep(0.1)
    assert breaker.lets_through()
    assert not breaker.lets_through()
    breaker.reset()
    assert breaker.lets_through()
    assert breaker.lets_through()


@pytest.mark.parametrize("turn", [1, 2])
def test_a_tripped_breaker_does_not_outlive_its_test(turn: int) -> None:
    breaker = servers.server("REDIS_URL").breaker
    assert breaker.lets_through()
    breaker.interval_seconds = 3600
    breaker.trip()


def test_a_state_of_the_wrong_type_does_not_stop_deliveries(
    ben: User, alyssa: User, louis: User, list_size: Callable[..., None]
) -> None:
    list_size(cap=3, spacing=3)
    for reader in (ben, louis):
        FollowFactory.create(follower=reader, followed=alyssa)
        page(reader)
    client().set(state_key(ben.pk), "of the wrong type")
    TweetFactory.create_batch(9, author=alyssa)
    deliver_all()
    for reader in (louis, ben):
        assert all_pages(reader, limit=2) == query(reader)
    assert store.read(ben.pk)


@pytest.mark.parametrize("element", [b"x", b"\x08\xff", b"\x19"])
def test_foreign_bytes_in_a_list_do_not_stop_deliveries(
    ben: User, alyssa: User, louis: User, list_size: Callable[..., None], element: bytes
) -> None:
    list_size(cap=3, spacing=3)
    for reader in (ben, louis):
        FollowFactory.create(follower=reader, followed=alyssa)
        page(reader)
    client().lpush(list_key(ben.pk), element)
    TweetFactory.create_batch(9, author=alyssa)
    deliver_all()
    for reader in (louis, ben):
        assert all_pages(reader, limit=2) == query(reader)
