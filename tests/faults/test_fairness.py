"""An account with a million followers does not delay other accounts."""

import statistics
import threading
import time

import httpx
import redis

from tests.faults.cluster import Cluster
from tests.faults.conftest import FairnessReport
from tests.stack import wait_until
from timelines.lists.store import list_key

FOLLOWERS = 1_000_000
BIG, ORDINARY = 1, 2  # authors
SAMPLES = 150


def delivery_seconds(cluster: Cluster, client: httpx.Client, valkey: redis.Redis) -> list[float]:
    """Return the seconds from a POST to the entry in a follower's list, for SAMPLES tweets."""
    [(reader,)] = cluster.sql(
        "SELECT min(follower_id) FROM users_follow WHERE followed_id = %s", ORDINARY
    )
    client.get(f"/tweets/followed/{reader}").raise_for_status()
    key = list_key(reader)
    taken = []
    for _ in range(SAMPLES):
        before = valkey.llen(key)
        started = time.monotonic()
        client.post("/tweets", json={"userId": ORDINARY, "message": "hi"}).raise_for_status()
        while valkey.llen(key) == before:
            assert time.monotonic() - started < 30
            time.sleep(0.001)
        taken.append(time.monotonic() - started)
        time.sleep(0.05)
    return taken


def test_ordinary_tweets_and_deletes_do_not_wait_for_a_million_deliveries(
    cluster: Cluster, fairness_report: FairnessReport
) -> None:
    cluster.sql(
        "INSERT INTO users_user (id, username, password, first_name, last_name, email, "
        "is_superuser, is_staff, is_active, date_joined) "
        "SELECT i, 'user' || i, '!', '', '', '', false, false, true, now() "
        "FROM generate_series(101, 100 + %s) AS i",
        FOLLOWERS,
    )
    cluster.sql(
        "INSERT INTO users_follow (follower_id, followed_id) "
        "SELECT i, %s FROM generate_series(101, 100 + %s) AS i",
        BIG,
        FOLLOWERS,
    )
    cluster.sql("ANALYZE")
    with cluster.redis() as valkey, httpx.Client(base_url=cluster.address, timeout=30) as client:
        for first in range(101, 101 + FOLLOWERS, 10_000):
            with valkey.pipeline(transaction=False) as pipeline:
                for reader in range(first, first + 10_000):
                    pipeline.rpush(list_key(reader), "")
                pipeline.execute()
        alone = delivery_seconds(cluster, client, valkey)

        over = threading.Event()
        deletes: list[float] = []

        def keep_the_workers_busy() -> None:
            with httpx.Client(base_url=cluster.address, timeout=30) as other:
                while not over.is_set():
                    body = {"userId": BIG, "message": "to all of you"}
                    tweet = other.post("/tweets", json=body).raise_for_status().json()
                    wait_until(lambda: over.is_set() or not cluster.pending(), 60)
                    started = time.monotonic()
                    other.delete(f"/tweets/{tweet['id']}").raise_for_status()
                    deletes.append(time.monotonic() - started)

        busy = threading.Thread(target=keep_the_workers_busy)
        busy.start()
        time.sleep(0.5)
        concurrent = delivery_seconds(cluster, client, valkey)
        over.set()
        busy.join()
    p99_alone, p99_concurrent = (statistics.quantiles(t, n=100)[98] for t in (alone, concurrent))
    fairness_report(alone, concurrent, deletes)
    assert p99_concurrent <= 3 * p99_alone + 0.25
    assert max(deletes) < 1
