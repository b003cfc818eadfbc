"""One of three nodes dies: what that costs the readers of the others, and its own."""

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from django.test import override_settings

from backends.slots import slot_of
from tests.faults.cluster import Cluster
from tests.faults.conftest import Note, running, temporary_folder
from tests.faults.load import Oracle, compare
from tests.stack import wait_until
from tests.valkeys import Valkeys
from timelines.delivery.decision import GONE_SECONDS
from timelines.lists import store

FOLLOWERS = 16_000
AUTHOR = 1
TWEETS = 60  # whose deliveries are timed
AT_ONCE = 5_000  # readers
CONNECTIONS = 50
FIRST = 101  # follower


class Scene:
    """The installation, with three nodes, and AUTHOR's followers, who all have lists."""

    def __init__(self, cluster: Cluster, valkeys: Valkeys) -> None:
        self.cluster, self.valkeys = cluster, valkeys
        _add_followers(cluster)
        self.followers = range(FIRST, FIRST + FOLLOWERS)
        cluster.manage("rebuild_timelines", *map(str, self.followers))
        self.dead = valkeys.nodes[0]
        [lost] = self.dead.slots()
        self.of_the_dead = [reader for reader in self.followers if slot_of(reader) in lost]
        self.of_others = sorted(set(self.followers) - set(self.of_the_dead))

    def rate(self) -> float:
        """Post tweets; return the deliveries to the others' readers per second."""
        started = time.monotonic()
        self.cluster.sql(
            "INSERT INTO tweets_tweet (author_id, message) "
            "SELECT %s, 'to all of you' FROM generate_series(1, %s)",
            AUTHOR,
            TWEETS,
        )
        self.cluster.wait_until_delivered()
        return TWEETS * len(self.of_others) / (time.monotonic() - started)

    @contextmanager
    def others_read(self, seconds: list[float]) -> Iterator[None]:
        """During the block, time the pages of readers whose lists are on living nodes."""
        over = threading.Event()

        def read() -> None:
            with httpx.Client(base_url=self.cluster.address, timeout=30) as client:
                for reader in self.of_others * 100:
                    if over.is_set():
                        return
                    seconds.append(_timed(client, reader))
                    time.sleep(0.01)

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def burst(self, readers: Sequence[int]) -> tuple[list[float], list[float]]:
        """Let AT_ONCE readers come at once. Return their seconds, and those of others meanwhile."""
        meanwhile: list[float] = []
        with self.others_read(meanwhile), ThreadPoolExecutor(CONNECTIONS) as threads:
            parts = [readers[first:AT_ONCE:CONNECTIONS] for first in range(CONNECTIONS)]
            taken = list(threads.map(self._read, parts))
        return [seconds for part in taken for seconds in part], meanwhile

    def _read(self, readers: Sequence[int]) -> list[float]:
        with httpx.Client(base_url=self.cluster.address, timeout=30) as client:
            return [_timed(client, reader) for reader in readers]


def _timed(client: httpx.Client, reader: int) -> float:
    started = time.monotonic()
    client.get(f"/tweets/followed/{reader}?limit=20").raise_for_status()
    return time.monotonic() - started


def _add_followers(cluster: Cluster) -> None:
    cluster.sql(
        "INSERT INTO users_user (id, username, password, first_name, last_name, email, "
        "is_superuser, is_staff, is_active, date_joined) "
        "SELECT i, 'user' || i, '!', '', '', '', false, false, true, now() "
        "FROM generate_series(%s::int, %s) AS i",
        FIRST,
        FIRST + FOLLOWERS - 1,
    )
    cluster.sql(
        "INSERT INTO users_follow (follower_id, followed_id) "
        "SELECT i, %s FROM generate_series(%s::int, %s) AS i",
        AUTHOR,
        FIRST,
        FIRST + FOLLOWERS - 1,
    )
    cluster.sql("ANALYZE")


def _milliseconds(seconds: Sequence[float]) -> str:
    *_, p95 = statistics.quantiles(seconds, n=20)
    return f"median {1000 * statistics.median(seconds):.0f} ms, p95 {1000 * p95:.0f} ms"


@pytest.fixture
def scene() -> Iterator[Scene]:
    with temporary_folder() as folder:
        valkeys = Valkeys(folder, 3)
        with running(timelines=valkeys.url) as cluster:
            yield Scene(cluster, valkeys)
        valkeys.stop()


def test_a_dead_node_holds_up_nobody_else(scene: Scene, note: Note) -> None:
    def shown(what: str, readers: Sequence[int]) -> None:
        taken, meanwhile = scene.burst(readers)
        note(f"{AT_ONCE:,} readers {what}: {_milliseconds(taken)}; {_milliseconds(meanwhile)}")

    note("latency of 5,000 readers at once, and beside them of readers of living nodes")
    rates = [scene.rate() for _ in range(3)]
    shown("of all nodes", scene.followers)
    scene.dead.kill()
    died = time.monotonic()
    shown("of a node that died just now", scene.of_the_dead)
    first = scene.rate()
    wait_until(lambda: "no server is admitted" in _worker_logs(scene), 2 * GONE_SECONDS)
    note(f"its admission ended after {time.monotonic() - died:.0f} s")
    wait_until(lambda: not scene.cluster.sql("SELECT 1 FROM timelines_fanout"))
    later = [scene.rate() for _ in range(3)]
    before, after = statistics.median(rates), statistics.median(later)
    note(
        f"deliveries a second to the others' readers: {before:,.0f} before; {first:,.0f} just after"
        f" the death; {after:,.0f} after 30 s, {after / before:.2f} of before"
    )
    shown("of a node without admission", scene.of_the_dead)
    with override_settings(REDIS_URL=scene.valkeys.url):
        for reader in scene.of_others[::20]:
            found = store.read(reader, renew=False)
            assert found
            assert len(set(found.tweet_ids)) == len(found.tweet_ids)  # none was pushed twice
    admissions = _worker_logs(scene).count(" is admitted")
    scene.dead.start()
    scene.dead.ask("FLUSHALL")
    wait_until(lambda: _worker_logs(scene).count(" is admitted") > admissions)
    shown("of a node that came back empty", scene.of_the_dead)
    compare(scene.cluster, Oracle(), scene.followers[::100])


def _worker_logs(scene: Scene) -> str:
    return "".join(scene.cluster.log(name) for name in ("one", "two"))
