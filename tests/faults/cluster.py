"""A whole Twit of the test's own, every part a process that can be hurt; and the faults."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import redis

from tests.stack import CHECKOUT, Stack, wait_until
from twit.local import postgres, valkey
from twit.local.net import LOOPBACK, free_port

SECRET = "faults"


class Cluster(Stack):
    """Durable Postgres and Valkey, a web server, two workers and the scheduler."""

    def __init__(self, folder: Path, users: int = 100, mean_follows: int = 10) -> None:
        self.postgres_port, self.valkey_port, self.web_port = (free_port() for _ in range(3))
        self.folder = folder
        self.start_postgres()
        self.start_valkey()
        super().__init__(folder, self.database_url, self.redis_url)
        self.address = f"http://{LOOPBACK}:{self.web_port}"
        self.manage("migrate")
        self.manage("generate_graph", "--users", str(users), "--mean-follows", str(mean_follows))
        self.start_web(self.web_port)
        self.start_worker("one")
        self.start_worker("two")
        self.start_beat()

    def start_postgres(self) -> None:
        self.postgres, self.database_url = postgres.start(
            self.folder / "postgres",
            password=SECRET,
            log=self.folder / "postgres.log",
            port=self.postgres_port,
        )

    def start_valkey(self, *, durable: bool = True) -> None:
        self.valkey, self.redis_url = valkey.start(
            self.folder / "valkey",
            password=SECRET,
            log=self.folder / "valkey.log",
            durable=durable,
            port=self.valkey_port,
        )

    def stop(self) -> None:
        super().stop()
        self.valkey.stop()
        self.postgres.stop()

    def manage(self, *arguments: str) -> str:
        """Run a management command on this cluster; what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=CHECKOUT, env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def sql(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement past Django; its rows, if it gives any."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def redis(self) -> redis.Redis:
        """A client of the cluster's Valkey."""
        return redis.Redis.from_url(self.redis_url, socket_timeout=30)

    def pending(self) -> set[int]:
        """The rows of the outbox that are not put off after a failure."""
        rows = self.sql("SELECT id FROM timelines_fanout WHERE attempts = 0")
        return {row_id for (row_id,) in rows}

    def wait_until_claimed(self) -> None:
        """Wait until a worker is in the middle of a round."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            wait_until(lambda: connection.execute(_CLAIMED).fetchone(), pause_seconds=0)

    def wait_until_delivered(self, seconds: float = 60) -> float:
        """Wait until nothing is left of what is pending now; how many seconds it took."""
        started = time.monotonic()
        now = self.pending()
        wait_until(lambda: not now & self.pending(), seconds)
        return time.monotonic() - started


_CLAIMED = """
    SELECT 1 FROM pg_locks JOIN pg_class ON pg_class.oid = pg_locks.relation
    WHERE relname = 'timelines_fanout' AND mode = 'RowShareLock' AND granted
    AND pid <> pg_backend_pid()
"""

Fault = Callable[[Cluster], None]


def worker_killed(cluster: Cluster) -> None:
    """kill -9 of a worker and its children; another is started."""
    cluster.kill("one")
    cluster.start_worker("one")


def worker_terminated(cluster: Cluster) -> None:
    """SIGTERM to a worker: it ends by itself, within 10 s."""
    started = time.monotonic()
    cluster.children["one"].process.send_signal(signal.SIGTERM)
    cluster.children.pop("one").process.wait(10)
    assert time.monotonic() - started < 10
    cluster.start_worker("one")


def web_killed(cluster: Cluster) -> None:
    """kill -9 of the web server and its children; another is started."""
    cluster.kill("web")
    cluster.start_web(cluster.web_port)


def postgres_killed(cluster: Cluster) -> None:
    """kill -9 of all of Postgres; it recovers from its log."""
    os.killpg(cluster.postgres.process.pid, signal.SIGKILL)
    cluster.postgres.process.wait()
    time.sleep(1)
    cluster.start_postgres()


def _kill_valkey(cluster: Cluster) -> Path:
    cluster.valkey.process.kill()
    cluster.valkey.process.wait()
    return cluster.folder / "valkey"


def valkey_emptied(cluster: Cluster) -> None:
    """Valkey is killed and comes back empty."""
    home = _kill_valkey(cluster)
    subprocess.run(["rm", "-rf", home], check=True)
    cluster.start_valkey()


def valkey_set_back(cluster: Cluster) -> None:
    """Valkey is killed and comes back as it was 5 s ago."""
    home = cluster.folder / "valkey"
    subprocess.run(["rm", "-rf", f"{home}.old"], check=True)
    cluster.redis().bgrewriteaof()
    wait_until(lambda: not cluster.redis().info("persistence")["aof_rewrite_in_progress"])
    subprocess.run(["cp", "-r", home, f"{home}.old"], check=True)
    time.sleep(5)
    _kill_valkey(cluster)
    subprocess.run(["rm", "-rf", home], check=True)
    subprocess.run(["mv", f"{home}.old", home], check=True)
    cluster.start_valkey()


def valkey_frozen(cluster: Cluster, seconds: float = 10) -> None:
    """Valkey answers nothing for a while."""
    cluster.valkey.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    cluster.valkey.process.send_signal(signal.SIGCONT)


def valkey_refusing(cluster: Cluster, seconds: float = 10) -> None:
    """Nothing listens at Valkey's address for a while."""
    _kill_valkey(cluster)
    time.sleep(seconds)
    cluster.start_valkey()


def valkey_full(cluster: Cluster, seconds: float = 5) -> None:
    """Valkey has no memory left for a while."""
    cluster.redis().config_set("maxmemory", 1)
    time.sleep(seconds)
    cluster.redis().config_set("maxmemory", 0)


def frozen_briefly(cluster: Cluster) -> None:
    """Valkey answers nothing for two seconds."""
    valkey_frozen(cluster, 2)


def refusing_briefly(cluster: Cluster) -> None:
    """Nothing listens at Valkey's address for two seconds."""
    valkey_refusing(cluster, 2)


def full_briefly(cluster: Cluster) -> None:
    """Valkey has no memory left for two seconds."""
    valkey_full(cluster, 2)


STORM_FAULTS: list[Fault] = [
    *(worker_killed, worker_terminated, web_killed, postgres_killed),
    *(valkey_emptied, frozen_briefly, refusing_briefly, full_briefly),
]
