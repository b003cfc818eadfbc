"""A real Prometheus scrapes a system under load: its alerts fire when something breaks, and clear.

The durations in the alerts are shortened.
"""

import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import httpx
import psycopg
import pytest

from tests.faults.cluster import USERS, Cluster
from tests.faults.conftest import running
from tests.faults.load import Clients
from tests.prometheus import Prometheus, needs_prometheus
from tests.stack import wait_until
from tests.twit.test_metrics import expressions, rules
from twit.local.net import LOOPBACK, free_port

LOCKED_SECONDS = 1.5  # Postgres would refuse requests that wait for 2 s
# A reader whose list can't be pushed to, who follows everybody.
BROKEN = f"""
    INSERT INTO users_user (
        id, username, password, first_name, last_name, email, is_superuser, is_staff, is_active,
        date_joined
    ) VALUES ({USERS + 1}, 'broken', '!', '', '', '', false, false, true, now());
    INSERT INTO users_follow (follower_id, followed_id)
    SELECT {USERS + 1}, id FROM users_user WHERE id <= {USERS};
"""


@dataclass
class Watched:
    """A cluster with one worker, and the Prometheus that watches both services."""

    cluster: Cluster
    ports: dict[str, int]
    prometheus: Prometheus

    def start_worker(self) -> None:
        self.cluster.start_worker(
            "three", processes=2, env={"TWIT_METRICS_WORKER": str(self.ports["twit-worker"])}
        )

    def expect(self, *alerts: str) -> None:
        """Wait until these fire."""
        wait_until(lambda: set(alerts) <= self.prometheus.firing(), pause_seconds=0.2)

    def expect_quiet(self) -> None:
        """Wait until none fires."""
        try:
            wait_until(lambda: not self.prometheus.firing(), 60, pause_seconds=0.2)
        except AssertionError:
            pytest.fail(f"these still fire: {self.prometheus.firing()}")


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """It is under load all the time."""
    needs_prometheus()
    ports = {"twit-web": free_port(), "twit-worker": free_port()}
    with running(TWIT_METRICS_WEB=str(ports["twit-web"])) as cluster:
        for name in ("one", "two"):
            cluster.terminate(name)
        with closing(Prometheus(cluster.folder, ports)) as prometheus:
            made = Watched(cluster, ports, prometheus)
            made.start_worker()
            with Clients(cluster, USERS).at_work():
                made.expect_quiet()
                yield made


@contextmanager
def without_workers(watched: Watched) -> Iterator[None]:
    watched.cluster.terminate("three")
    watched.cluster.sql("UPDATE timelines_admission SET identity = ''")
    watched.cluster.sql("UPDATE timelines_sighting SET seen_at = seen_at - interval '1 minute'")
    wait_until(watched.cluster.pending)
    watched.cluster.sql("UPDATE timelines_fanout SET created_at = now() - interval '2 minutes'")
    try:
        yield
    finally:
        watched.start_worker()


@contextmanager
def with_a_list_that_refuses_pushes(watched: Watched) -> Iterator[None]:
    watched.cluster.sql(BROKEN)
    key = f"home:{{{USERS + 1}}}"
    watched.cluster.redis().set(key, "no list")
    try:
        yield
    finally:
        watched.cluster.redis().delete(key)
        watched.cluster.sql("UPDATE timelines_fanout SET next_attempt_at = clock_timestamp()")


@contextmanager
def with_a_frozen_valkey(watched: Watched) -> Iterator[None]:
    watched.cluster.valkey.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        watched.cluster.valkey.process.send_signal(signal.SIGCONT)


@contextmanager
def without_postgres(watched: Watched) -> Iterator[None]:
    watched.cluster.kill_postgres()
    try:
        yield
    finally:
        watched.cluster.start_postgres()


@contextmanager
def with_locked_tables(watched: Watched) -> Iterator[None]:
    is_over = threading.Event()

    def lock() -> None:
        with psycopg.connect(watched.cluster.database_url) as connection:
            while not is_over.wait(0.1):
                connection.execute("LOCK TABLE timelines_flag")  # only pages and sweeps read it
                time.sleep(LOCKED_SECONDS)
                connection.commit()

    thread = threading.Thread(target=lock)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextmanager
def with_late_deliveries(watched: Watched) -> Iterator[None]:
    """Let each tweet look as if it had been posted half a minute before."""
    column = "ALTER TABLE timelines_fanout ALTER COLUMN created_at SET DEFAULT"
    watched.cluster.sql(f"{column} statement_timestamp() - interval '30 seconds'")
    try:
        yield
    finally:
        watched.cluster.sql(f"{column} statement_timestamp()")


class Fault(NamedTuple):
    """What breaks, and which alerts fire meanwhile."""

    happens: Callable[[Watched], AbstractContextManager[None]]
    alerts: Sequence[str]


NO_SERVER = ("TwitSlotsWithoutServer", "TwitPagesFromPostgres")
FAULTS = (
    Fault(without_workers, ("TwitTargetDown", "TwitNoWorker", "TwitBacklogOld", *NO_SERVER)),
    Fault(with_late_deliveries, ("TwitArrivalSlow",)),
    Fault(with_a_list_that_refuses_pushes, ("TwitFanOutsFail",)),
    Fault(with_a_frozen_valkey, ("TwitValkeyDown", "TwitPagesFromPostgres")),
    Fault(without_postgres, ("TwitPostgresDown", "TwitErrors")),
    Fault(with_locked_tables, ("TwitPagesSlow",)),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.happens.__name__)
def test_alerts_fire_and_clear(watched: Watched, fault: Fault) -> None:
    with fault.happens(watched):
        watched.expect(*fault.alerts)
    watched.expect_quiet()


def test_each_alert_has_a_fault() -> None:
    tried = {alert for fault in FAULTS for alert in fault.alerts}
    assert tried == {rule["alert"] for rule in rules()}


def test_every_expression_of_dashboard_and_alerts_returns_data(watched: Watched) -> None:
    missing = f"{watched.cluster.address}/nowhere"  # the load has no errors
    httpx.get(missing, trust_env=False, timeout=30)
    for expression in expressions():
        bare = re.sub(r"\s[<>=]+ [\d.]+\s*$", "", expression)  # without the threshold
        bare = bare.replace("$__rate_interval", "10m")
        wait_until(partial(watched.prometheus.values, bare))


def test_promtool_approves_of_what_is_served(watched: Watched) -> None:
    for port in watched.ports.values():
        served = httpx.get(f"http://{LOOPBACK}:{port}/metrics", trust_env=False, timeout=30).text
        done = subprocess.run(
            ["promtool", "check", "metrics"],
            input=served,
            text=True,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
