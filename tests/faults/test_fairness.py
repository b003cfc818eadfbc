"""An account with a million followers delays neither other accounts nor its own followers."""

import statistics
import threading
import time

import httpx
import redis

from tests.faults.cluster import Cluster
from tests.faults.conftest import Note
from tests.stack import wait_until
from timelines.lists.store import list_key

FOLLOWERS = 1_000_000
BIG, ORDINARY = 1, 2  # authors
SAMPLES = 150
READERS = 20  # whose pages are requested
SHOWN_SECONDS = 0.5  # 0.2 on a quiet machine
SECONDS_AFTER = 10  # the delivery, for which pages are requested


def delivery_seconds(cluster: Cluster, client: httpx.Client, valkey: redis.Redis) -> list[float]:
    """Return the seconds from a POST to the entry in a follower's list, for SAMPLES tweets."""
    [(reader,)] = cluster.sql(
        "SELECT min(follower_id) FROM users_follow WHERE followed_id = %s AND follower_id NOT IN "
        "(SELECT follower_id FROM users_follow WHERE followed_id = %s)",
        ORDINARY,
        BIG,
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


def add_followers(cluster: Cluster) -> None:
    """Give BIG a million followers, each with a list."""
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
    with cluster.redis() as valkey:
        for first in range(101, 101 + FOLLOWERS, 10_000):
            with valkey.pipeline(transaction=False) as pipeline:
                for reader in range(first, first + 10_000):
                    pipeline.rpush(list_key(reader), "")
                pipeline.execute()


def test_ordinary_tweets_and_deletes_do_not_wait_for_a_million_deliveries(
    cluster: Cluster, note: Note
) -> None:
    add_followers(cluster)
    with cluster.redis() as valkey, httpx.Client(base_url=cluster.address, timeout=30) as client:
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
    for when, taken in (("alone", alone), ("during a fan-out to a million", concurrent)):
        cuts = statistics.quantiles(taken, n=100)
        p50, p99 = 1000 * cuts[49], 1000 * cuts[98]
        note(f"ordinary tweet, {when}: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    note(f"longest DELETE during that fan-out: {1000 * max(deletes):.0f} ms")
    assert p99_concurrent <= 3 * p99_alone + 0.25
    assert max(deletes) < 1


def test_pages_show_a_tweet_long_before_a_million_lists_have_it(
    cluster: Cluster, note: Note
) -> None:
    add_followers(cluster)
    readers = [101 + (FOLLOWERS - 1) * place // (READERS - 1) for place in range(READERS)]
    with httpx.Client(base_url=cluster.address, timeout=30) as client:

        def shows(reader: int) -> bool:
            page = client.get(f"/tweets/followed/{reader}").raise_for_status().json()
            return tweet_id in [tweet["id"] for tweet in page]

        def post() -> str:
            body = {"userId": BIG, "message": "to all of you"}
            return str(client.post("/tweets", json=body).raise_for_status().json()["id"])

        tweet_id = "none yet"
        for reader in readers:
            shows(reader)  # their lists are believed from now on
        tweet_id = post()
        answered, late = time.monotonic(), 0.0
        delivered: float | None = None
        pages = 0
        while delivered is None or time.monotonic() - delivered < SECONDS_AFTER:
            for reader in readers:
                asked = time.monotonic() - answered
                pages += 1
                if not shows(reader):
                    late = max(late, asked)
            if delivered is None and not cluster.pending():
                delivered = time.monotonic()
        note(
            f"a tweet to a million: each page that was requested later than {1000 * late:.0f} ms "
            f"after the POST shows it, the last list has it after {delivered - answered:.1f} s "
            f"({pages} pages of {READERS} readers)"
        )
    assert late < SHOWN_SECONDS < delivered - answered
