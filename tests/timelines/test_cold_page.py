"""The first page that a reader asks for, which also rebuilds the list."""

from collections.abc import Callable

import psycopg
import pytest

from api.paging import Window
from tests.factories import FollowFactory, TweetFactory
from tests.timelines.lists import all_pages, listed, page, query
from timelines.lists import store, upkeep
from timelines.lists.listed import Source
from timelines.reading import pull
from timelines.reading.page import home_page
from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that psycopg sends from now on."""
    statements: list[str] = []
    original = psycopg.RawCursor.execute

    def execute(self: psycopg.RawCursor, query: str, *args: object, **kwargs: object) -> object:
        statements.append(query)
        return original(self, query, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(psycopg.RawCursor, "execute", execute)
    return statements


@pytest.fixture
def reader(ben: User, alyssa: User) -> User:
    FollowFactory.create(follower=ben, followed=alyssa)
    TweetFactory.create_batch(30, author=alyssa)
    return ben


@pytest.mark.parametrize("limit", [1, 20, 30, 200])
def test_a_cold_page_runs_the_expensive_query_once(
    reader: User, sent: list[str], limit: int
) -> None:
    assert page(reader, limit=limit) == query(reader)[:limit]
    assert sum("active AS MATERIALIZED" in statement for statement in sent) == 1
    assert len(sent) == 2  # and hydration
    assert listed(reader.pk) == query(reader)
    sent.clear()
    assert page(reader, limit=limit) == query(reader)[:limit]
    assert not any("active AS MATERIALIZED" in statement for statement in sent)


def test_a_cold_page_tells_whether_there_are_more(reader: User) -> None:
    assert home_page(reader.pk, Window(limit=29)).has_more
    upkeep.forget(reader.pk)
    assert not home_page(reader.pk, Window(limit=30)).has_more


def test_cold_pages_go_on_below_what_the_list_holds(
    reader: User, list_size: Callable[..., None]
) -> None:
    list_size(cap=10)
    for limit in (4, 9, 20):
        upkeep.forget(reader.pk)
        assert all_pages(reader, limit=limit) == query(reader)
        assert listed(reader.pk) == query(reader)[: store.most_entries()]


def test_a_follow_between_snapshot_and_hydration_shows_on_the_same_page(
    reader: User, louis: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    tweet = TweetFactory.create(author=louis)
    snapshot = pull.snapshot

    def then_follow(reader_id: int, source: Source) -> pull.Snapshot | None:
        taken = snapshot(reader_id, source)
        FollowFactory.create(follower=reader, followed=louis)
        return taken

    monkeypatch.setattr(pull, "snapshot", then_follow)
    assert page(reader)[0] == tweet.pk


@pytest.mark.parametrize(("cap", "spacing"), [(800, 80), (7, 1), (14, 2), (2, 80)])
def test_a_rebuilt_list_holds_as_many_elements_as_the_cap(
    list_size: Callable[..., None], cap: int, spacing: int
) -> None:
    list_size(cap=cap, spacing=spacing)
    entries = store.most_entries()
    assert 1 + entries + -(-entries // spacing) in {cap, cap - 1, cap + (cap < 3)}
