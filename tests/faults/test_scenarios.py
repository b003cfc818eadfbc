"""Each fault under load: no acknowledged change is lost."""

import time

import httpx
import pytest

from tests.faults import cluster as faults
from tests.faults.cluster import USERS, Cluster, Fault
from tests.faults.conftest import Report
from tests.faults.load import Clients, Oracle, compare


@pytest.mark.parametrize(
    "fault",
    [
        faults.worker_killed,
        faults.worker_terminated,
        faults.web_killed,
        faults.postgres_killed,
        faults.valkey_emptied,
        faults.valkey_reverted,
        faults.valkey_frozen,
        faults.valkey_stopped,
        faults.valkey_full,
    ],
)
def test_a_fault_under_load_loses_nothing(cluster: Cluster, fault: Fault, report: Report) -> None:
    clients = Clients(cluster, USERS)
    with clients.at_work() as oracle:
        time.sleep(3)
        fault(cluster)
        seconds = cluster.wait_until_delivered()
        time.sleep(3)
    cluster.wait_until_delivered()
    report(fault.__name__, oracle, seconds)
    compare(cluster, oracle, range(1, USERS + 1))
    assert len(oracle.posted) > 50
    if fault.__name__.startswith("valkey"):
        assert oracle.longest_seconds < 1
        assert oracle.unavailable == 0


def test_a_worker_killed_ten_times_in_a_long_fan_out_loses_nothing(cluster: Cluster) -> None:
    followers = 20_000
    cluster.sql(
        "INSERT INTO users_user (id, username, password, first_name, last_name, email, "
        "is_superuser, is_staff, is_active, date_joined) "
        "SELECT i, 'user' || i, '!', '', '', '', false, false, true, now() "
        "FROM generate_series(101, 100 + %s) AS i",
        followers,
    )
    cluster.sql(
        "INSERT INTO users_follow (follower_id, followed_id) "
        "SELECT i, 1 FROM generate_series(101, 100 + %s) AS i",
        followers,
    )
    cluster.manage("rebuild_timelines", *map(str, range(101, 101 + followers)))
    cluster.kill("two")
    oracle = Oracle()
    tweets = 10
    for _ in range(tweets):
        answer = httpx.post(
            f"{cluster.address}/tweets", json={"userId": 1, "message": "hello"}, timeout=30
        )
        assert answer.status_code == 201
        oracle.posted[int(answer.json()["id"])] = 1
        cluster.wait_until_claimed()
        faults.worker_killed(cluster)
    cluster.wait_until_delivered()
    output = cluster.manage("verify_timelines")
    assert f"0 missing, 0 surplus; {followers * tweets:,}" in output  # every list is complete
    compare(cluster, oracle, range(101, 101 + followers, 40))


def test_a_poisoned_tweet_does_not_stop_the_rest(cluster: Cluster) -> None:
    cluster.sql(
        "INSERT INTO timelines_fanout (kind, tweet_id, author_id) VALUES ('deliver', -1, 1)"
    )
    clients = Clients(cluster, USERS)
    with clients.at_work() as oracle:
        time.sleep(3)
    cluster.wait_until_delivered()
    compare(cluster, oracle, range(1, USERS + 1))
    [(attempts, error)] = cluster.sql("SELECT attempts, last_error FROM timelines_fanout")
    assert attempts > 0
    assert "ValueError" in error
    assert "failing   1" in cluster.manage("fanout_status")
