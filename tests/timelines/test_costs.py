"""The cost of a page: round trips and query plans."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from django.db import connection

from api.fields import MAX_ID
from api.paging import Window
from backends.postgres import binary_cursor
from tests.factories import FollowFactory, TweetFactory
from tests.timelines.lists import deliver_all, page, query
from timelines.delivery import claims, flags, front
from timelines.lists import changes, store
from timelines.lists.changes import Change
from timelines.lists.entries import Entry
from timelines.reading import hydration, pull
from timelines.reading.rebuild import rebuild
from tweets.idempotency import POST_ONCE
from tweets.models import Tweet
from tweets.posting import POST
from users import graph
from users.models import User

pytestmark = pytest.mark.django_db


def test_a_page_of_the_list_costs_one_round_trip_to_each_server(
    ben: User,
    alyssa: User,
    redis_round_trips: Callable[[], int],
    statements: Callable[[], int],
    list_size: Callable[..., None],
) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    TweetFactory.create_batch(30, author=alyssa)
    deliver_all()
    page(ben)
    statements(), redis_round_trips()
    for limit in (1, 20, 30):
        assert len(page(ben, limit=limit)) == limit
        assert (statements(), redis_round_trips()) == (1, 1)


@pytest.mark.parametrize("is_rebuilt", [False, True])
def test_the_newest_page_is_read_without_the_rest_of_the_list(
    ben: User,
    alyssa: User,
    redis_round_trips: Callable[[], int],
    list_size: Callable[..., None],
    is_rebuilt: bool,
) -> None:
    list_size(spacing=10)
    FollowFactory.create(follower=ben, followed=alyssa)
    page(ben)
    for number in range(60):
        TweetFactory.create(author=alyssa)
        deliver_all()
        if is_rebuilt and number == 40:
            rebuild(ben.pk)
        redis_round_trips()
        assert page(ben, limit=2) == query(ben)[:2]
        assert redis_round_trips() == 1
    newest = store.read(ben.pk, 16)
    assert newest and not newest.is_whole
    assert len(newest.between(0, 2**63 - 1)) >= 3


def test_a_page_that_the_newest_part_does_not_fill_costs_one_more_round_trip(
    ben: User, alyssa: User, redis_round_trips: Callable[[], int], list_size: Callable[..., None]
) -> None:
    list_size(spacing=10)
    FollowFactory.create(follower=ben, followed=alyssa)
    TweetFactory.create_batch(40, author=alyssa)
    deliver_all()
    page(ben)
    for tweet_id in query(ben)[:4:-1]:
        changes.apply([Change(Entry(tweet_id, alyssa.pk), [ben.pk])])
    redis_round_trips()
    assert page(ben, limit=20) == query(ben)[:20]
    assert redis_round_trips() == 2
    oldest = query(ben)[-1]
    assert page(ben, limit=40, since_id=oldest) == query(ben)[:-1]


def test_tweets_beyond_the_list_cost_one_more_query(
    ben: User,
    alyssa: User,
    redis_round_trips: Callable[[], int],
    statements: Callable[[], int],
    list_size: Callable[..., None],
) -> None:
    list_size(cap=10)
    FollowFactory.create(follower=ben, followed=alyssa)
    TweetFactory.create_batch(30, author=alyssa)
    page(ben)
    statements(), redis_round_trips()
    assert len(page(ben, limit=20)) == 20
    assert (statements(), redis_round_trips()) == (2, 1)


@pytest.fixture
def many(db: None) -> None:
    """5,000 users with 30 follows on average, one of them with 1,000, and 100,000 tweets."""
    graph.load(graph.power_law_edges(5_000, 30, seed=1), users_up_to=5_000)
    graph.load(graph.Edge(7, followed_id) for followed_id in range(8, 1_008))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tweets_tweet (author_id, message) "
            "SELECT 1 + i %% 5000, 'message' FROM generate_series(1, %s) AS i",
            [100_000],
        )
        cursor.execute("ANALYZE")


def test_every_query_of_the_hot_paths_uses_index_scans(many: None) -> None:
    array = f"{{{','.join(map(str, range(50_000, 50_020)))}}}"
    for user_id, bounds in product([7, MAX_ID], [{}, {"max_id": "9" * 20}, {"since_id": "9" * 20}]):
        window = Window.from_query(bounds)
        within = [window.max_id, window.since_id]
        queries: dict[str, list[Any]] = {
            hydration.HYDRATE: [user_id, array, 1, MAX_ID],
            pull.PAGE: [user_id, *within, 21],
            pull.SNAPSHOT: [user_id, *within, 801],
            claims.CLAIM: [200, 65_536, front.EVER],
            front.LOOK: [front.EVER],
            flags.LATE: [front.EVER],
            POST: [user_id, "message"],
            POST_ONCE: [user_id, "message", user_id, "key", b"fingerprint"],
        }
        for sql, parameters in queries.items():
            with binary_cursor() as cursor:
                cursor.execute(f"EXPLAIN {sql}", parameters)
                assert_index_scan("\n".join(line for (line,) in cursor.fetchall()))
        for rows in (
            window.select(Tweet.objects.all()),
            window.select(Tweet.objects.filter(author_id=user_id)),
            Tweet.objects.filter(pk=user_id),
            User.objects.filter(pk=user_id),
        ):
            assert_index_scan(rows.explain())


def assert_index_scan(plan: str) -> None:
    assert "Index" in plan
    # There are few flags, so a scan of all of them is fine.
    assert "Seq Scan" not in plan.replace("Seq Scan on timelines_flag", ""), plan
