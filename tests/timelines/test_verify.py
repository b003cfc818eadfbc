"""Verification beside a live service: what happens between its steps is no difference."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.factories import FollowFactory, TweetFactory
from tests.timelines.lists import admit, deliver_all, page
from tests.timelines.machine import Valkey, own_valkey
from tests.valkey import client
from timelines.lists import store
from timelines.lists.entries import Entry
from timelines.lists.listed import Listed
from timelines.lists.store import list_key, state_key
from timelines.verify import DELIVERED, Finding, verify
from tweets.models import Tweet
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reader(ben: User, alyssa: User) -> User:
    """Ben, who follows alyssa and whose list holds two tweets of hers."""
    FollowFactory.create(follower=ben, followed=alyssa)
    page(ben)
    TweetFactory.create_batch(2, author=alyssa)
    deliver_all()
    return ben


@pytest.fixture
def after_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """after_reading(1, act) calls `act` after the first reading of the list."""

    def schedule(number: int, act: Callable[[], object]) -> None:
        readings = 0
        read = store.read

        def counting(*arguments: int, **options: bool) -> Listed | None:
            nonlocal readings
            readings += 1
            found = read(*arguments, **options)
            if readings == number:
                act()
            return found

        monkeypatch.setattr(store, "read", counting)

    return schedule


@pytest.fixture
def after_the_query() -> Iterator[Callable[[Callable[[], object]], None]]:
    """after_the_query(act) calls `act` once, when Postgres has told what the list should hold."""
    acts: list[Callable[[], object]] = []

    def execute(execute: Callable[..., object], sql: str, *arguments: object) -> object:
        result = execute(sql, *arguments)
        if acts and sql == DELIVERED:
            acts.pop()()
        return result

    with connection.execute_wrapper(execute):
        yield acts.append
    assert not acts


def clean(reader: User, entries: int) -> None:
    """Check that verification finds the list believed and without a difference."""
    found = verify(reader.pk)
    assert found
    assert found._replace(memory_bytes=0) == Finding(is_believed=True, entries=entries)


def post(author: User, count: int = 1) -> None:
    TweetFactory.create_batch(count, author=author)
    deliver_all()


def delete_the_newest() -> None:
    Tweet.objects.latest("id").delete()
    deliver_all()


def test_a_tweet_that_is_delivered_after_the_first_reading_is_not_missing(
    reader: User, alyssa: User, after_reading: Callable[..., None]
) -> None:
    after_reading(1, lambda: post(alyssa))
    clean(reader, entries=3)


def test_a_tweet_that_is_deleted_after_the_query_is_not_missing(
    reader: User, after_the_query: Callable[..., None]
) -> None:
    after_the_query(delete_the_newest)
    clean(reader, entries=1)


def test_an_author_who_is_unfollowed_after_the_query_is_not_missing(
    reader: User, alyssa: User, after_the_query: Callable[..., None]
) -> None:
    def unfollow_and_rebuild() -> None:
        reader.follows.all().delete()
        page(reader)

    after_the_query(unfollow_and_rebuild)
    found = verify(reader.pk)
    assert found and not found.missing and not found.is_wrong


def test_a_tweet_that_is_cut_off_after_the_query_is_not_missing(
    reader: User, alyssa: User, after_the_query: Callable[..., None], list_size: Callable[..., None]
) -> None:
    list_size(cap=4, spacing=4)
    after_the_query(lambda: post(alyssa, 10))
    found = verify(reader.pk)
    assert found and found.is_believed and not found.missing


def test_a_tweet_that_is_lost_is_missing_although_others_are_delivered_meanwhile(
    reader: User, alyssa: User, after_reading: Callable[..., None]
) -> None:
    lost = Tweet.objects.latest("id")
    client().lrem(list_key(reader.pk), 0, Entry(lost.pk, alyssa.pk).encode())  # type: ignore[arg-type]
    after_reading(1, lambda: post(alyssa))
    found = verify(reader.pk)
    assert found and found.is_wrong
    assert found.missing == {lost.pk}


@pytest.mark.parametrize("key", [list_key, state_key])
@pytest.mark.parametrize("reading", [0, 1])
def test_a_list_that_is_gone_is_no_finding(
    reader: User, after_reading: Callable[..., None], key: Callable[[int], str], reading: int
) -> None:
    def evict() -> None:
        client().delete(key(reader.pk))

    if reading:
        after_reading(1, evict)
    else:
        evict()
    assert verify(reader.pk) is None


def test_a_list_that_is_rebuilt_after_the_query_is_not_believed(
    reader: User, alyssa: User, after_the_query: Callable[..., None]
) -> None:
    after_the_query(lambda: store.begin_rebuild(reader.pk))
    found = verify(reader.pk)
    assert found and not found.is_believed and not found.is_wrong


def test_a_list_under_rebuild_is_not_believed(reader: User) -> None:
    store.begin_rebuild(reader.pk)
    assert verify(reader.pk) == Finding(is_believed=False, entries=0)


@pytest.fixture
def restored(ben: User, alyssa: User, tmp_path: Path) -> Iterator[Valkey]:
    """A server whose snapshot has only one of the two tweets that ben's list holds."""
    FollowFactory.create(follower=ben, followed=alyssa)
    with own_valkey(tmp_path) as valkey:
        page(ben)
        post(alyssa)
        valkey.take_snapshot()
        post(alyssa)
        yield valkey


def test_a_list_that_another_server_built_is_not_compared(ben: User, restored: Valkey) -> None:
    restored.restart(from_snapshot=True)
    assert verify(ben.pk) == Finding(is_believed=False, entries=1)
    admit()
    page(ben)
    clean(ben, entries=2)


def test_a_list_from_a_server_that_restarts_after_the_query_is_not_believed(
    ben: User, restored: Valkey, after_the_query: Callable[..., None]
) -> None:
    after_the_query(lambda: restored.restart(from_snapshot=True))
    found = verify(ben.pk)
    assert found and not found.is_believed and not found.is_wrong


def test_a_verification_does_not_renew_the_expiry(reader: User) -> None:
    for key in (list_key, state_key):
        client().expire(key(reader.pk), 1000)
    verify(reader.pk)
    assert all(client().ttl(key(reader.pk)) <= 1000 for key in (list_key, state_key))
