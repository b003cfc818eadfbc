"""Workers that see different primaries, or none, and one that was frozen: under load, for long.

A primary and its replica hold the timelines. The web server and each of two workers reach one of
them through a proxy of their own. Each test prints how many generations that cost.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.cluster import USERS, Cluster
from tests.faults.conftest import Note, Report, running, temporary_folder
from tests.faults.load import Clients, Oracle, compare
from tests.proxy import Proxy
from tests.stack import wait_until
from twit.local import valkey
from twit.local.net import LOOPBACK, free_port
from twit.local.process import Child


class Server:
    """A Valkey, durable like the one of a real installation."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        log = home.with_suffix(".log")
        self.child: Child
        self.child, self.url = valkey.start(home, password="views", log=log, port=self.port)

    def follow(self, primary: "Server") -> None:
        valkey.ask(self.url, ("REPLICAOF", LOOPBACK, primary.port))
        wait_until(lambda: "master_link_status:up" in self._replication())

    def promote(self) -> None:
        valkey.ask(self.url, ("REPLICAOF", "NO", "ONE"))

    def _replication(self) -> str:
        [info] = valkey.ask(self.url, ("INFO", "replication"))
        assert isinstance(info, bytes)
        return info.decode()

    def signal(self, number: signal.Signals) -> None:
        self.child.process.send_signal(number)


class Scene:
    """Two servers, `web`'s proxy and those of the workers `one` and `two`, and the installation."""

    def __init__(self, folder: Path) -> None:
        self.primary, self.replica = (Server(folder / name) for name in ("primary", "replica"))
        self.replica.follow(self.primary)
        self.web, self.one, self.two = (Proxy(self.primary.port) for _ in range(3))
        self.cluster: Cluster

    def lead(self, proxy: Proxy, server: Server) -> None:
        """Let new connections lead there, and close those of now."""
        proxy.target = server.port
        proxy.cut()
        proxy.heal()

    def signal_worker(self, name: str, number: signal.Signals) -> None:
        os.killpg(self.cluster.children[name].process.pid, number)

    def generations(self) -> int:
        """Return how often a server was admitted, or none."""
        logs = "".join(self.cluster.log(name) for name in ("one", "two"))
        return logs.count(" is admitted")

    @contextmanager
    def under_load(self, name: str, report: Report, note: Note) -> Iterator[Oracle]:
        """Load the installation during the block. At the end all timelines equal the query."""
        before = self.generations()
        with Clients(self.cluster, USERS).at_work() as oracle:
            time.sleep(3)
            yield oracle
            time.sleep(3)
            seconds = self.cluster.wait_until_delivered(20)
        self.cluster.wait_until_delivered()
        report(name, oracle, seconds)
        spent = self.generations() - before
        note(f"{name}: {spent} generations")
        compare(self.cluster, oracle, range(1, USERS + 1))
        assert len(oracle.posted) > 500
        assert oracle.unavailable == 0
        assert oracle.longest_seconds < 1.5
        assert spent <= 6


@pytest.fixture
def scene() -> Iterator[Scene]:
    with temporary_folder() as folder:
        made = Scene(folder)
        with running(timelines=made.web.url(made.primary.url)) as made.cluster:
            for name, proxy in (("one", made.one), ("two", made.two)):
                made.cluster.kill(name)
                made.cluster.start_worker(name, env={"REDIS_URL": proxy.url(made.primary.url)})
            yield made
        for proxy in (made.web, made.one, made.two):
            proxy.close()
        for server in (made.primary, made.replica):
            server.signal(signal.SIGCONT)
            server.child.stop()


def test_a_worker_is_cut_off_from_a_server_that_others_reach(
    scene: Scene, report: Report, note: Note
) -> None:
    with scene.under_load("a worker is cut off for 40 s", report, note):
        scene.one.cut()
        time.sleep(20)
        scene.one.heal()
        time.sleep(5)
        scene.one.freeze()
        time.sleep(20)
        scene.one.heal()


def test_two_workers_see_different_primaries(scene: Scene, report: Report, note: Note) -> None:
    """Readers see that of the first worker, then that of the second."""
    with scene.under_load("two workers see different primaries for 60 s", report, note):
        scene.replica.promote()
        scene.lead(scene.two, scene.replica)
        time.sleep(30)
        scene.lead(scene.web, scene.replica)
        time.sleep(30)
        scene.lead(scene.one, scene.replica)
        time.sleep(10)


def test_a_worker_is_thawed_after_a_failover(scene: Scene, report: Report, note: Note) -> None:
    """It has a connection to the former primary, which is thawed at the same time."""
    with scene.under_load("a worker is thawed after 40 s", report, note):
        scene.signal_worker("one", signal.SIGSTOP)
        scene.primary.signal(signal.SIGSTOP)
        scene.replica.promote()
        for proxy in (scene.web, scene.two):
            scene.lead(proxy, scene.replica)
        time.sleep(40)
        scene.primary.signal(signal.SIGCONT)
        scene.signal_worker("one", signal.SIGCONT)
        time.sleep(10)
        scene.lead(scene.one, scene.replica)
        time.sleep(5)
