"""Servers and networks that say nothing: lost connections and packets, frozen processes, locks."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import psycopg
import pytest

from tests.faults.cluster import USERS, Cluster
from tests.faults.conftest import Report
from tests.faults.load import Clients, Oracle, compare
from tests.faults.network import Network
from tests.stack import wait_until

# A statement may take 4 s, its reply 5 s, and a new connection 2 s. The machine is busy.
REQUEST_SECONDS = 9.0
# A tweet by the author who has most followers. No wake-up is sent for it.
POST = """
    INSERT INTO tweets_tweet (author_id, message)
    SELECT followed_id, 'by hand' FROM users_follow GROUP BY 1 ORDER BY count(*) DESC LIMIT 1
"""


@contextmanager
def load(cluster: Cluster, name: str, report: Report) -> Iterator[Oracle]:
    """Load the cluster during the block, and compare all timelines at the end."""
    clients = Clients(cluster, USERS)
    with clients.at_work() as oracle:
        time.sleep(3)
        yield oracle
        seconds = cluster.wait_until_delivered(20)
        time.sleep(2)
    cluster.wait_until_delivered()
    report(name, oracle, seconds)
    compare(cluster, oracle, range(1, USERS + 1))
    assert len(oracle.posted) > 50


def seconds_until_delivered(cluster: Cluster) -> float:
    """Store a tweet by SQL. Return the seconds until it is delivered."""
    cluster.sql(POST)
    return cluster.wait_until_delivered(30)


@pytest.mark.parametrize("server", ["postgres", "valkey"])
def test_connections_that_a_firewall_forgot_cost_seconds(
    network: Network, cluster: Cluster, server: str, report: Report
) -> None:
    with load(cluster, f"forgotten connections to {server}", report) as oracle:
        network.forget(getattr(cluster, f"{server}_port"))
        assert seconds_until_delivered(cluster) < 15  # a round under way is ended after 10 s
    assert oracle.longest_seconds < (REQUEST_SECONDS if server == "postgres" else 1.5)


@pytest.mark.parametrize("server", ["postgres", "valkey"])
def test_connections_that_a_proxy_forgot_cost_seconds(
    proxied: Cluster, server: str, report: Report
) -> None:
    """The proxy acknowledges what is sent, so that only the missing reply tells."""
    with load(proxied, f"{server}'s proxy forgets connections", report) as oracle:
        getattr(proxied, f"to_{server}").forget()
        assert seconds_until_delivered(proxied) < 18
    assert oracle.longest_seconds < (REQUEST_SECONDS if server == "postgres" else 1.5)


def test_lost_packets_lose_no_tweet(network: Network, cluster: Cluster, report: Report) -> None:
    with load(cluster, "a tenth of all packets lost", report):
        network.lose(10)
        time.sleep(8)
        network.heal()


def test_slow_bodies_hold_up_nobody(cluster: Cluster, report: Report) -> None:
    head = b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\n\r\n{"
    with load(cluster, "200 slow bodies", report) as oracle, ExitStack() as slow:
        for _ in range(200):
            client = socket.create_connection(("127.0.0.1", cluster.web_port))
            slow.enter_context(client).sendall(head)
        time.sleep(5)
    assert oracle.longest_seconds < 2
    assert oracle.unavailable == 0


def children_of(pid: int) -> list[int]:
    command = ["ps", "-o", "pid=", "--ppid", str(pid)]
    listed = subprocess.run(command, capture_output=True, check=True)
    return [int(child) for child in listed.stdout.split()]


def signal_postgres(cluster: Cluster, number: signal.Signals) -> None:
    """Send the signal to all processes of Postgres. Each has a process group of its own."""
    parent = cluster.postgres.process.pid
    for pid in (parent, *children_of(parent)):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def test_a_frozen_postgres_is_503_within_seconds(cluster: Cluster, report: Report) -> None:
    with load(cluster, "Postgres frozen for 10 s", report) as oracle:
        signal_postgres(cluster, signal.SIGSTOP)
        started = time.monotonic()
        answer = httpx.get(f"{cluster.address}/tweets/followed/1", timeout=30)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert time.monotonic() - started < REQUEST_SECONDS
        time.sleep(10 - (time.monotonic() - started))
        signal_postgres(cluster, signal.SIGCONT)
        started = time.monotonic()
        wait_until(
            lambda: httpx.get(f"{cluster.address}/tweets/followed/1", timeout=30).is_success, 5
        )
    assert oracle.longest_seconds < REQUEST_SECONDS


def test_a_locked_table_is_503_within_seconds(cluster: Cluster, report: Report) -> None:
    with load(cluster, "a table locked for 8 s", report) as oracle:
        with psycopg.connect(cluster.database_url) as locker:
            locker.execute("LOCK TABLE tweets_tweet IN ACCESS EXCLUSIVE MODE")
            started = time.monotonic()
            assert httpx.get(f"{cluster.address}/tweets", timeout=30).status_code == 503
            assert time.monotonic() - started < REQUEST_SECONDS
            time.sleep(max(0, 8 - (time.monotonic() - started)))
        wait_until(lambda: httpx.get(f"{cluster.address}/tweets", timeout=30).is_success, 5)
    assert oracle.longest_seconds < REQUEST_SECONDS


def freeze_in_a_round(cluster: Cluster, name: str) -> Callable[[], None]:
    """Freeze a worker while it waits for Valkey in a round. Return what thaws it."""
    cluster.valkey.process.send_signal(signal.SIGSTOP)
    with psycopg.connect(cluster.database_url, autocommit=True) as watcher:
        watcher.execute(POST)
        free = "SELECT 1 FROM timelines_fanout FOR UPDATE SKIP LOCKED"
        wait_until(lambda: not watcher.execute(free).fetchone(), pause_seconds=0)
    group = cluster.children[name].process.pid
    os.killpg(group, signal.SIGSTOP)
    cluster.valkey.process.send_signal(signal.SIGCONT)
    return lambda: os.killpg(group, signal.SIGCONT)


def test_a_frozen_workers_tweets_are_delivered_within_15_s(cluster: Cluster) -> None:
    for reader in range(1, USERS + 1):
        httpx.get(f"{cluster.address}/tweets/followed/{reader}", timeout=30).raise_for_status()
    cluster.kill("two")
    thaw = freeze_in_a_round(cluster, "one")
    started = time.monotonic()
    cluster.start_worker("two")
    wait_until(lambda: not cluster.sql("SELECT 1 FROM timelines_fanout"), 15)
    print(f"rows of a frozen worker: delivered after {time.monotonic() - started:.1f} s")
    frozen = cluster.children["one"].process
    thaw()
    time.sleep(3)
    assert frozen.poll() is None
    cluster.kill("two")
    assert seconds_until_delivered(cluster) < 10
    compare(cluster, Oracle(), range(1, USERS + 1))


def test_a_web_process_that_was_frozen_in_a_transaction_answers_503(cluster: Cluster) -> None:
    """Postgres ends the transaction after 10 s (25P03), and the process does no harm."""
    tweet = httpx.post(
        f"{cluster.address}/tweets", json={"userId": 1, "message": "hi"}, timeout=30
    ).json()
    statuses: list[int] = []

    def delete() -> None:
        address = f"{cluster.address}/tweets/{tweet['id']}"
        statuses.append(httpx.delete(address, timeout=60).status_code)

    group = cluster.children["web"].process.pid
    with psycopg.connect(cluster.database_url, autocommit=True) as watcher:
        # DELETE's transaction is open while it waits for this lock.
        with psycopg.connect(cluster.database_url) as locker:
            locker.execute("SELECT FROM tweets_tweet WHERE id = %s FOR UPDATE", [tweet["id"]])
            client = threading.Thread(target=delete)
            client.start()
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            wait_until(lambda: watcher.execute(waiting).fetchone(), pause_seconds=0)
            os.killpg(group, signal.SIGSTOP)
        time.sleep(13)
    os.killpg(group, signal.SIGCONT)
    client.join()
    assert statuses == [503]
    assert httpx.get(f"{cluster.address}/tweets/{tweet['id']}", timeout=30).is_success
