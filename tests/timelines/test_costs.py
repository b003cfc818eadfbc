"""The cost of a page: round trips and query plans."""

import re
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from django.db import connection

from api.fields import MAX_ID
from api.paging import Window
from backends.postgres import binary_cursor
from tests.factories import FollowFactory, TweetFactory
from tests.timelines.lists import apply, deliver_all, page, query
from timelines.delivery import claims, flags, front, progress
from timelines.lists import store
from timelines.lists.entries import Entry
from timelines.lists.packing import Change
from timelines.reading import hydration, low_water, pull
from timelines.reading.rebuild import rebuild
from tweets import displayed, settled
from tweets.idempotency import POST_ONCE
from tweets.posting import POST
from users import authentication, graph
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
        apply(Change(Entry(tweet_id, alyssa.pk), [ben.pk]))
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
        cursor.execute(
            "INSERT INTO tweets_idempotencykey "
            "(user_id, key, fingerprint, tweet_id, username, created_at) "
            "SELECT id, 'key', '', id, '', now() FROM users_user"
        )
        cursor.execute(
            "INSERT INTO knox_authtoken (digest, token_key, user_id, created) "
            "SELECT 'digest' || id, '', id, now() FROM users_user"
        )
        cursor.execute("ANALYZE")


def test_every_query_of_the_hot_paths_uses_index_scans(many: None) -> None:
    array = f"{{{','.join(map(str, range(50_000, 50_020)))}}}"
    for user_id, bounds in product([7, MAX_ID], [{}, {"max_id": "9" * 20}, {"since_id": "9" * 20}]):
        window = Window.from_query(bounds)
        within = [window.max_id, window.since_id]
        queries: dict[str, list[Any]] = {
            authentication.BEARER: ["digest7"],
            hydration.HYDRATE: [user_id, array, 1, MAX_ID, 0, "x", "digest"],
            pull.PAGE: [user_id, *within, 21],
            pull.SNAPSHOT: [user_id, *within, 801, 0, "x"],
            claims.CLAIM: [200, 65_536, front.EVER],
            front.LOOK: [front.EVER],
            flags.LATE: [front.EVER],
            low_water.PENDING: [1],
            progress.PROGRESS: [50_000],
            settled.MISSING: [99_000, 100_000],
            displayed.ONE: [user_id],
            displayed.DOWN: [*within, 21],
            displayed.UP: [*within, 21],
            displayed.AUTHORS_DOWN: [*within, 21, user_id],
            displayed.AUTHORS_UP: [*within, 21, user_id],
            POST: [user_id, "message", "digest"],
            POST_ONCE: [user_id, "message", "digest", user_id, "key", b"fingerprint"],
        }
        for sql, parameters in queries.items():
            with binary_cursor() as cursor:
                cursor.execute(f"EXPLAIN {sql}", parameters)
                assert_index_scan("\n".join(line for (line,) in cursor.fetchall()))
        assert_index_scan(User.objects.filter(pk=user_id).explain())


def test_the_statements_of_requests_are_planned_once(many: None) -> None:
    """Postgres plans a statement each time if that seems to pay. It took half a page's time."""
    array = f"{{{','.join(map(str, range(50_000, 50_020)))}}}"
    queries: dict[str, list[Any]] = {
        hydration.HYDRATE: [7, array, 1, MAX_ID, 0, "x", None],
        displayed.ONE: [50_000],
        displayed.DOWN: [MAX_ID, 0, 21],
        displayed.UP: [MAX_ID, 0, 21],
        displayed.AUTHORS_DOWN: [MAX_ID, 0, 21, 7],
        displayed.AUTHORS_UP: [MAX_ID, 0, 21, 7],
        authentication.BEARER: ["digest7"],
        POST: [7, "message", None],
        POST_ONCE: [7, "message", None, 7, "another key", b"fingerprint"],
    }
    with binary_cursor() as cursor:
        for sql, parameters in queries.items():
            for _ in range(20):
                cursor.execute(sql, parameters)
        cursor.execute("SELECT statement, custom_plans FROM pg_prepared_statements")
        planned = dict(cursor.fetchall())
    assert {sql: planned[sql] for sql in queries if planned[sql] > 5} == {}


def assert_index_scan(plan: str) -> None:
    assert "Index" in plan
    # There are few flags and admissions, so a scan of all of them is fine.
    scanned = set(re.findall(r"Seq Scan on (\w+)", plan))
    assert scanned <= {"timelines_flag", "timelines_admission"}, plan
