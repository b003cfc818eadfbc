"""Rebuilding a list while other things happen."""

from collections.abc import Callable
from threading import BoundedSemaphore

import pytest

from tests.factories import FollowFactory, TweetFactory
from tests.psql import connect
from tests.timelines.lists import all_pages, deliver_all, listed, page, query, start_rebuild
from tests.valkey import client
from timelines.lists import store
from timelines.lists.listed import Source
from timelines.lists.store import list_key, state_key
from timelines.reading import pull
from timelines.reading import rebuild as rebuilding
from timelines.reading.pull import Snapshot
from timelines.reading.rebuild import rebuild
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(ben: User, alyssa: User) -> User:
    """Ben, who follows alyssa. Her first tweet is delivered."""
    FollowFactory.create(follower=ben, followed=alyssa)
    TweetFactory.create(author=alyssa)
    deliver_all()
    return ben


@pytest.mark.parametrize("is_before", [True, False])
def test_a_tweet_that_is_delivered_while_postgres_is_read_is_in_the_new_list(
    reader: User, alyssa: User, monkeypatch: pytest.MonkeyPatch, is_before: bool
) -> None:
    snapshot = pull.snapshot

    def post() -> None:
        TweetFactory.create(author=alyssa)
        deliver_all()

    def during_a_delivery(reader_id: int, source: Source) -> Snapshot | None:
        if is_before:
            post()
        taken = snapshot(reader_id, source)
        if not is_before:
            post()
        return taken

    with monkeypatch.context() as patched:
        patched.setattr(pull, "snapshot", during_a_delivery)
        assert rebuild(reader.pk).is_stored
    assert set(listed(reader.pk) or []) == set(query(reader))
    assert page(reader) == query(reader)


def test_a_tweet_that_is_deleted_while_postgres_is_read_is_not_shown(
    reader: User, alyssa: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    tweet = TweetFactory.create(author=alyssa)
    deliver_all()
    snapshot = pull.snapshot

    def then_delete(reader_id: int, source: Source) -> Snapshot | None:
        taken = snapshot(reader_id, source)
        tweet.delete()
        deliver_all()
        return taken

    with monkeypatch.context() as patched:
        patched.setattr(pull, "snapshot", then_delete)
        rebuild(reader.pk)
    assert page(reader, limit=1) == query(reader)


def test_version_and_entries_of_a_rebuild_come_from_one_statement(
    reader: User, statements: Callable[[], int]
) -> None:
    statements()
    pull.snapshot(reader.pk, Source(0, ""))
    assert statements() == 1


def test_beyond_the_bound_of_all_processes_pages_come_from_postgres(reader: User) -> None:
    with connect() as other:
        other.execute(
            "SELECT pg_advisory_xact_lock(%s, number) FROM generate_series(1, %s) AS number",
            [pull.PERMITS, pull.REBUILDS_AT_ONCE],
        )
        assert page(reader) == query(reader)
        assert listed(reader.pk) is None
    assert page(reader) == query(reader)
    assert listed(reader.pk) == query(reader)


def test_beyond_the_bound_of_a_process_pages_come_from_postgres(
    reader: User, monkeypatch: pytest.MonkeyPatch, redis_round_trips: Callable[[], int]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(rebuilding, "_permits", BoundedSemaphore(1))
        with rebuilding._permits:
            redis_round_trips()
            assert page(reader) == query(reader)
            assert redis_round_trips() <= 2  # a new connection, and the read that found no list
        assert listed(reader.pk) is None
        assert page(reader) == query(reader)
    assert listed(reader.pk) == query(reader)


@pytest.mark.django_db(transaction=True)
def test_a_permit_ends_with_its_statement(reader: User) -> None:
    assert rebuild(reader.pk).is_stored
    with connect() as other:
        held = other.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE classid = %s AND datname = current_database()",
            [pull.PERMITS],
        )
        assert held.fetchone() == (0,)


def test_a_first_read_gives_list_and_state_their_expiry(reader: User) -> None:
    page(reader)
    expiries = [client().ttl(key(reader.pk)) for key in (list_key, state_key)]
    assert all(store.EXPIRY_SECONDS - 60 < expiry <= store.EXPIRY_SECONDS for expiry in expiries)


def test_an_unfinished_rebuild_expires_too(reader: User) -> None:
    store.begin_rebuild(reader.pk)
    assert all(client().ttl(key(reader.pk)) > 0 for key in (list_key, state_key))


def test_pushes_and_cuts_keep_the_expiry(
    reader: User, alyssa: User, list_size: Callable[..., None]
) -> None:
    list_size(cap=6, spacing=2)
    page(reader)
    for key in (list_key, state_key):
        client().expire(key(reader.pk), 1000)
    TweetFactory.create_batch(20, author=alyssa)
    deliver_all()
    assert client().llen(list_key(reader.pk)) < 10
    assert all(0 < client().ttl(key(reader.pk)) <= 1000 for key in (list_key, state_key))


def test_a_rebuild_appends_behind_what_was_pushed_meanwhile(
    reader: User, alyssa: User, list_size: Callable[..., None]
) -> None:
    list_size(cap=40, spacing=2)
    TweetFactory.create_batch(9, author=alyssa)
    deliver_all()
    started = start_rebuild(reader.pk)
    TweetFactory.create_batch(3, author=alyssa)
    deliver_all()
    assert started.finish()
    for limit in (1, 2, 3, 20):
        assert all_pages(reader, limit) == query(reader)
    newest = store.read(reader.pk, 6)
    assert newest and newest.tweet_ids[-1] == query(reader)[0]
