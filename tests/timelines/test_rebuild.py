"""Rebuilding a list while other things happen."""

from collections.abc import Callable

import pytest

from tests.factories import FollowFactory, TweetFactory
from tests.timelines.lists import all_pages, deliver_all, listed, page, query
from tests.valkey import client
from timelines.lists import store
from timelines.lists.store import list_key, state_key
from timelines.reading import pull
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

    def during_a_delivery(reader_id: int) -> Snapshot:
        if is_before:
            post()
        taken = snapshot(reader_id)
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

    def then_delete(reader_id: int) -> Snapshot:
        taken = snapshot(reader_id)
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
    pull.snapshot(reader.pk)
    assert statements() == 1


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
    token = store.begin_rebuild(reader.pk)
    assert token
    snapshot = pull.snapshot(reader.pk)
    TweetFactory.create_batch(3, author=alyssa)
    deliver_all()
    assert store.finish_rebuild(reader.pk, token, **snapshot._asdict())
    for limit in (1, 2, 3, 20):
        assert all_pages(reader, limit) == query(reader)
    newest = store.read(reader.pk, 6)
    assert newest and newest.tweet_ids[-1] == query(reader)[0]
