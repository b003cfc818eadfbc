"""A standby of Postgres that lagged behind a DELETE is promoted, and no page is wrong."""

import os
import shutil
import signal
import subprocess

import httpx
import pytest

from tests.faults.cluster import USERS, Cluster
from tests.faults.load import DELIVERED, Oracle, compare
from tests.stack import wait_until
from timelines.lists.store import list_key
from twit.local.account import DATA


class Standby:
    """What a standby had replayed at the moment at which it lost its primary."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.data = cluster.folder / "postgres" / DATA
        self.copy = self.data.with_suffix(".standby")
        cluster.postgres.stop()
        subprocess.run(["cp", "-a", self.data, self.copy], check=True)
        cluster.start_postgres()

    def replace_primary(self) -> None:
        """Kill the primary. The standby goes on at its address, and only reads."""
        self.cluster.kill_postgres()
        shutil.rmtree(self.data)
        self.copy.rename(self.data)
        self._write("standby.signal", "")
        self._write("postgresql.auto.conf", "restore_command = 'false'\n")
        self.cluster.start_postgres()

    def promote(self) -> None:
        self._write("promote", "")
        self.cluster.postgres.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: self.cluster.sql("SELECT pg_is_in_recovery()") == [(False,)])

    def _write(self, name: str, text: str) -> None:
        file = self.data / name
        file.write_text(text)
        owner = self.data.stat()
        os.chown(file, owner.st_uid, owner.st_gid)


def post(cluster: Cluster, author: int) -> int:
    body = {"userId": author, "message": "hello"}
    answer = httpx.post(f"{cluster.address}/tweets", json=body, timeout=30).raise_for_status()
    cluster.wait_until_delivered()
    return int(answer.json()["id"])


def page(cluster: Cluster, reader: int) -> list[int]:
    answer = httpx.get(f"{cluster.address}/tweets/followed/{reader}?limit=50", timeout=30)
    return [int(tweet["id"]) for tweet in answer.raise_for_status().json()]


def has_list(cluster: Cluster, reader: int) -> bool:
    with cluster.redis() as valkey:
        return bool(valkey.exists(list_key(reader)))


def query(cluster: Cluster, reader: int) -> list[int]:
    return [tweet_id for (tweet_id,) in cluster.sql(DELIVERED, reader, 50)]


@pytest.mark.parametrize("workers", [True, False])
def test_a_promoted_standby_that_lacks_a_delete(cluster: Cluster, workers: bool) -> None:
    """Without workers nobody renews the admission, and pages come from Postgres."""
    [(author, reader, other)] = cluster.sql(
        "SELECT followed_id, min(follower_id), max(follower_id) FROM users_follow "
        "GROUP BY 1 HAVING count(*) > 1 LIMIT 1"
    )
    deleted = post(cluster, author)
    wait_until(lambda: page(cluster, reader) == [deleted])
    # The last page of all has to come from this list.
    wait_until(lambda: page(cluster, other) == [deleted] and has_list(cluster, other))
    standby = Standby(cluster)
    wait_until(lambda: httpx.get(f"{cluster.address}/tweets", timeout=30).is_success)
    httpx.delete(f"{cluster.address}/tweets/{deleted}", timeout=30).raise_for_status()
    lost = post(cluster, author)
    assert page(cluster, reader) == [lost]
    if not workers:
        for name in ("one", "two"):
            cluster.kill(name)
    standby.replace_primary()
    wait_until(lambda: httpx.get(f"{cluster.address}/tweets", timeout=30).is_success)
    assert page(cluster, reader) == query(cluster, reader) == [deleted]
    standby.promote()
    for _ in range(100):
        assert page(cluster, reader) == query(cluster, reader) == [deleted]
    if workers:
        generations = "SELECT generation FROM timelines_admission WHERE database_timeline = %s"
        wait_until(lambda: cluster.sql(generations, "00000002"))
        compare(cluster, Oracle(), range(1, USERS + 1))
    else:  # as if nobody looked at the timeline
        cluster.sql("UPDATE timelines_admission SET database_timeline = '00000002'")
        wait_until(lambda: page(cluster, other) == [])
