"""A poller misses nothing, though one thing is late for long while others go on."""

import time
from collections.abc import Callable

import httpx
import psycopg
import pytest

from tests.faults.cluster import Cluster
from tests.pollers import Poller
from tests.stack import wait_until
from timelines.lists.store import list_key

READER, AUTHOR, OTHER_AUTHOR, BROKEN = 1, 2, 3, 4
HELD_SECONDS = 20  # a transaction is open
FAILING_SECONDS = 60


@pytest.fixture
def web(cluster: Cluster) -> httpx.Client:
    """A client of a cluster in which the reader follows two authors, and a broken one the first."""
    follows = [(READER, AUTHOR), (READER, OTHER_AUTHOR), (BROKEN, AUTHOR)]
    cluster.sql("DELETE FROM users_follow")
    for follow in follows:
        cluster.sql("INSERT INTO users_follow (follower_id, followed_id) VALUES (%s, %s)", *follow)
    client = httpx.Client(base_url=cluster.address, timeout=30, trust_env=False)
    return cluster.clients.enter_context(client)


def post(web: httpx.Client, author: int) -> int:
    answer = web.post("/tweets", json={"userId": author, "message": "hello"})
    return int(answer.raise_for_status().json()["id"])


def post_for(seconds: float, web: httpx.Client, poller: Poller) -> list[int]:
    """Post continuously, and poll. Return the ids of what was posted."""
    posted: list[int] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        posted.append(post(web, OTHER_AUTHOR))
        poller.poll(web)
        time.sleep(0.05)
    return posted


def saw_exactly(web: httpx.Client, poller: Poller, ids: list[int]) -> Callable[[], bool]:
    """Return a condition that polls."""

    def check() -> bool:
        poller.poll(web)
        return sorted(poller.given.elements()) == sorted(ids)

    return check


def test_a_tweet_that_commits_20_s_late_is_seen_once(cluster: Cluster, web: httpx.Client) -> None:
    poller = Poller(f"/tweets/followed/{READER}")
    poller.poll(web)
    with psycopg.connect(cluster.database_url) as held:
        insert = "INSERT INTO tweets_tweet (author_id, message) VALUES (%s, 'late') RETURNING id"
        [late] = held.execute(insert, [AUTHOR]).fetchone() or []
        posted = post_for(HELD_SECONDS, web, poller)
        assert late not in poller.given
    wait_until(saw_exactly(web, poller, [late, *posted]), 10)


def test_a_delivery_that_fails_for_a_minute_is_seen_once(
    cluster: Cluster, web: httpx.Client
) -> None:
    poller = Poller(f"/tweets/followed/{READER}")
    poller.poll(web)
    with cluster.redis() as server:
        server.set(list_key(BROKEN), "no list")
        failing = post(web, AUTHOR)
        posted = post_for(FAILING_SECONDS, web, poller)
        wait_until(lambda: cluster.sql("SELECT tweet_id FROM timelines_fanout") == [(failing,)])
        server.delete(list_key(BROKEN))
    wait_until(saw_exactly(web, poller, [failing, *posted]), 10)
    cluster.sql("UPDATE timelines_fanout SET next_attempt_at = now()")
    cluster.wait_until_delivered()
    wait_until(lambda: not cluster.sql("SELECT 1 FROM timelines_fanout"))
    assert saw_exactly(web, poller, [failing, *posted])()
