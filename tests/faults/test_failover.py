"""Servers that change roles or are full, a slow broker, and clocks that differ."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from tests.faults.cluster import SECRET, Cluster
from tests.faults.conftest import running
from tests.faults.test_silence import seconds_until_delivered
from tests.stack import wait_until
from twit.local import valkey
from twit.local.net import LOOPBACK

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def post(cluster: Cluster) -> httpx.Response:
    body = {"userId": 1, "message": "hello"}
    return httpx.post(f"{cluster.address}/tweets", json=body, timeout=30)


def wake_ups(cluster: Cluster) -> int:
    """Return twice how many wake-ups the workers, which log DEBUG, have taken so far."""
    return sum(cluster.log(name).count("Task timelines.fan_out[") for name in ("one", "two"))


@pytest.fixture
def demoted() -> Iterator[Cluster]:
    """A cluster whose Valkey has just become a replica. New connections find the new primary."""
    with running(proxied=True, TWIT_LOG_LEVEL="DEBUG") as proxied:
        home, log = proxied.folder / "second", proxied.folder / "second.log"
        second, url = valkey.start(home, password=SECRET, log=log)
        port = int(url.rpartition(":")[2].partition("/")[0])
        with proxied.redis() as old, redis.Redis.from_url(url) as new:
            for server in (old, new):
                server.config_set("masterauth", SECRET)
            new.replicaof(LOOPBACK, proxied.valkey_port)
            wait_until(lambda: new.info("replication")["master_link_status"] == "up")
            new.replicaof("NO", "ONE")
            proxied.to_valkey.target = port
            old.replicaof(LOOPBACK, port)
        yield proxied
        second.stop()


def test_deliveries_and_wake_ups_find_the_new_primary_after_a_demotion(demoted: Cluster) -> None:
    workers = [demoted.children[name].process for name in ("one", "two")]
    seconds = seconds_until_delivered(demoted)
    print(f"Valkey demoted under open connections: delivered after {seconds:.1f} s")
    assert seconds < 7
    before = wake_ups(demoted)

    def is_woken() -> bool:
        assert post(demoted).status_code == 201
        time.sleep(0.5)
        return wake_ups(demoted) > before

    wait_until(is_woken, 20)
    assert [worker.poll() for worker in workers] == [None, None]


def test_a_worker_that_starts_beside_a_full_valkey_waits_for_it(cluster: Cluster) -> None:
    cluster.kill("one")
    cluster.kill("two")
    with cluster.redis() as server:
        server.config_set("maxmemory", 1)
        worker = cluster.start_worker("three", wait=False).process
        wait_until(lambda: "maxmemory" in cluster.log("three"))
        time.sleep(3)
        assert worker.poll() is None
        server.config_set("maxmemory", 0)
    wait_until(lambda: " ready." in cluster.log("three"))
    assert seconds_until_delivered(cluster) < 10


def test_a_read_only_postgres_is_503_for_writes_until_it_takes_them_again(cluster: Cluster) -> None:
    tweet = post(cluster).json()
    address = f"{cluster.address}/tweets/{tweet['id']}"
    cluster.sql("ALTER DATABASE twit SET default_transaction_read_only = on")
    cluster.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE usename = current_user AND pid <> pg_backend_pid()"
    )
    for answer in (post(cluster), httpx.delete(address, timeout=30)):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
    assert httpx.get(address, timeout=30).json() == tweet
    with psycopg.connect(cluster.database_url, autocommit=True) as administrator:
        administrator.execute("SET default_transaction_read_only = off")
        administrator.execute("ALTER DATABASE twit RESET default_transaction_read_only")
    wait_until(lambda: post(cluster).status_code == 201, 10)
    assert httpx.delete(address, timeout=30).status_code == 204
    cluster.wait_until_delivered(20)


def test_a_post_waits_for_no_wake_up_on_a_slow_connection(proxied: Cluster) -> None:
    """The first wake-up of a process takes 13 round trips."""
    proxied.kill("web")
    proxied.to_valkey.delay_seconds = 0.14
    proxied.start_web(proxied.web_port)
    started = time.monotonic()
    assert post(proxied).status_code == 201
    seconds = time.monotonic() - started
    print(f"first post, 280 ms from its broker: {seconds:.1f} s")
    assert seconds < 2


@pytest.mark.skipif(not FAKETIME, reason="Debian's libfaketime is missing")
def test_a_worker_whose_clock_is_ahead_delivers(cluster: Cluster) -> None:
    for name in ("one", "two", "beat"):
        cluster.kill(name)
    for name, offset in (("one", "+3600"), ("two", "-3600")):
        env = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        env["TWIT_LOG_LEVEL"] = "DEBUG"
        cluster.start_worker(name, env=env)
    cluster.start_beat()
    for _ in range(3):
        assert seconds_until_delivered(cluster) < 10
    before = wake_ups(cluster)
    assert post(cluster).status_code == 201
    wait_until(lambda: wake_ups(cluster) > before)
    cluster.wait_until_delivered(10)
