"""RabbitMQ as the broker: the faults of workers, and its own."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults import cluster as faults
from tests.faults.cluster import USERS, Cluster, Fault
from tests.faults.conftest import Report, running
from tests.faults.load import Clients, compare
from tests.rabbit import Rabbit
from tests.stack import wait_until
from timelines.delivery.sweeps import SWEEP_SECONDS
from timelines.lists.store import list_key


@pytest.fixture
def rabbit() -> Iterator[Rabbit]:
    folder = Path(tempfile.mkdtemp(prefix="twit-rabbit-"))
    made = Rabbit(folder)
    yield made
    made.stop()
    shutil.rmtree(folder)


@pytest.fixture
def cluster(rabbit: Rabbit) -> Iterator[Cluster]:
    with running(BROKER_URL=rabbit.url) as made:
        yield made


def test_wake_ups_travel_by_a_quorum_queue(cluster: Cluster, rabbit: Rabbit) -> None:
    [(author, reader)] = cluster.sql("SELECT followed_id, follower_id FROM users_follow LIMIT 1")
    key = list_key(reader)
    seconds = []
    with cluster.redis() as valkey, httpx.Client(base_url=cluster.address, timeout=30) as client:
        client.get(f"/tweets/followed/{reader}").raise_for_status()
        for _ in range(20):
            before, started = valkey.llen(key), time.monotonic()
            client.post("/tweets", json={"userId": author, "message": "hi"}).raise_for_status()
            while valkey.llen(key) == before:
                assert time.monotonic() - started < 30
                time.sleep(0.001)
            seconds.append(time.monotonic() - started)
    assert statistics.median(seconds) < SWEEP_SECONDS / 4  # a sweep takes half of it on average
    assert rabbit.queues()["celery"] == "quorum"


@pytest.mark.parametrize("fault", [faults.worker_killed, faults.worker_terminated])
def test_a_workers_fault_loses_nothing(cluster: Cluster, fault: Fault, report: Report) -> None:
    with Clients(cluster, USERS).at_work() as oracle:
        time.sleep(3)
        fault(cluster)
        seconds = cluster.wait_until_delivered()
        time.sleep(3)
    cluster.wait_until_delivered()
    report(f"{fault.__name__} (RabbitMQ)", oracle, seconds)
    compare(cluster, oracle, range(1, USERS + 1))
    assert len(oracle.posted) > 50


def test_a_killed_rabbitmq_loses_nothing_and_nobody_waits_for_it(
    cluster: Cluster, rabbit: Rabbit, report: Report
) -> None:
    with Clients(cluster, USERS).at_work() as oracle:
        time.sleep(3)
        rabbit.kill()
        time.sleep(5)
        seconds = cluster.wait_until_delivered(10)  # by sweeps
        rabbit.start()
        time.sleep(5)
    cluster.wait_until_delivered(10)
    report("RabbitMQ killed for 5 s", oracle, seconds)
    compare(cluster, oracle, range(1, USERS + 1))
    assert oracle.longest_seconds < 1
    assert oracle.unavailable == 0
    wait_until(lambda: "workers   2" in cluster.manage("fanout_status"), 60)
