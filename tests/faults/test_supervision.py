"""The cluster under test restarts what ends by itself, as `make up` and Docker do."""

import os
import signal

import httpx

from tests.faults.cluster import Cluster
from tests.stack import wait_until


def test_workers_and_web_server_that_end_by_themselves_are_started_again(cluster: Cluster) -> None:
    for name in ("one", "two", "web"):
        os.killpg(cluster.children[name].process.pid, signal.SIGKILL)

    def responds() -> bool:
        try:
            return httpx.get(f"{cluster.address}/tweets", trust_env=False, timeout=30).is_success
        except httpx.TransportError:
            return False

    wait_until(responds)
    tweet = {"userId": 1, "message": "hello"}
    httpx.post(
        f"{cluster.address}/tweets", json=tweet, trust_env=False, timeout=30
    ).raise_for_status()
    cluster.wait_until_delivered()
