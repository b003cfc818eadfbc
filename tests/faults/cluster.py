"""A complete Twit installation of real processes for one test, and faults to inject into it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import redis

from tests.proxy import Proxy
from tests.stack import CHECKOUT, Stack, wait_until
from twit.local import account, postgres, process, valkey
from twit.local.net import LOOPBACK, free_port

SECRET = "faults"
USERS = 100


class Cluster(Stack):
    """Durable Postgres and Valkey, a web server, two workers and the scheduler.

    Like `make up`, it restarts web server, workers and scheduler when they end by themselves.

    If it is `proxied`, its processes reach both servers through proxies. With `timelines`, the URL
    of another server or of a cluster, the timelines are there. `env` is the processes' too.
    """

    def __init__(
        self, folder: Path, *, proxied: bool = False, timelines: str = "", **env: str
    ) -> None:
        self.postgres_port, self.valkey_port, self.web_port = (free_port() for _ in range(3))
        self.folder = folder
        self._children_lock, self._is_over = threading.RLock(), threading.Event()
        self.start_postgres()
        self.start_valkey()
        super().__init__(folder, self.database_url, self.redis_url)
        self.proxies: list[Proxy] = []
        if proxied:
            self.to_postgres, self.to_valkey = Proxy(self.postgres_port), Proxy(self.valkey_port)
            self.proxies += [self.to_postgres, self.to_valkey]
            self.env["DATABASE_URL"] = self.to_postgres.url(self.database_url)
            self.env["REDIS_URL"] = self.to_valkey.url(self.redis_url)
        if timelines:
            env |= dict.fromkeys(("BROKER_URL", "LIMITS_URL"), self.redis_url)
            env |= {"REDIS_URL": timelines}
        self.env |= env
        self.address = f"http://{LOOPBACK}:{self.web_port}"
        self.manage("migrate")
        self.manage("generate_graph", "--users", str(USERS), "--mean-follows", "10")
        self.start_web(self.web_port)
        self.start_worker("one")
        self.start_worker("two")
        self.start_beat()
        self._keeper = threading.Thread(target=self._restart_what_ends, daemon=True)
        self._keeper.start()

    def start_postgres(self) -> None:
        self.postgres, self.database_url = postgres.start(
            self.folder / "postgres",
            password=SECRET,
            log=self.folder / "postgres.log",
            port=self.postgres_port,
        )

    def kill_postgres(self) -> None:
        """Kill Postgres with SIGKILL. Wait until all of its processes have noticed and ended."""
        pid_file = self.folder / "postgres" / account.DATA / "postmaster.pid"
        memory = pid_file.read_text().splitlines()[6].split()[1]
        os.killpg(self.postgres.process.pid, signal.SIGKILL)
        self.postgres.process.wait()
        wait_until(lambda: not _is_attached(memory))

    def start_valkey(self, *, durable: bool = True) -> None:
        self.valkey, self.redis_url = valkey.start(
            self.folder / "valkey",
            password=SECRET,
            log=self.folder / "valkey.log",
            durable=durable,
            port=self.valkey_port,
        )

    def _restart_what_ends(self) -> None:
        while not self._is_over.wait(0.1):
            with self._children_lock:
                for child in self.children.values():
                    child.restart_if_ended()

    def _start(self, name: str, command: list[str], env: dict[str, str]) -> process.Child:
        with self._children_lock:
            return super()._start(name, command, env)

    def kill(self, name: str) -> None:
        with self._children_lock:
            super().kill(name)

    def terminate(self, name: str) -> None:
        """Send SIGTERM to the process, which is not started again."""
        with self._children_lock:
            child = self.children.pop(name)
        child.process.send_signal(signal.SIGTERM)
        child.process.wait(60)

    def stop(self) -> None:
        self._is_over.set()
        self._keeper.join()
        super().stop()
        for proxy in self.proxies:
            proxy.close()
        self.valkey.stop()
        self.postgres.stop()

    def manage(self, *arguments: str) -> str:
        """Run a management command on this cluster. Return what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=CHECKOUT, env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def redis(self) -> redis.Redis:
        """Return a client for the cluster's Valkey."""
        return redis.Redis.from_url(self.redis_url, socket_timeout=30)

    def pending(self) -> set[int]:
        """Return the ids of the outbox rows that have not failed so far."""
        rows = self.sql("SELECT id FROM timelines_fanout WHERE attempts = 0")
        return {row_id for (row_id,) in rows}

    def wait_until_claimed(self) -> None:
        """Wait until a worker is in the middle of a round."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            wait_until(lambda: connection.execute(_CLAIMED).fetchone(), pause_seconds=0)

    def wait_until_delivered(self, seconds: float = 60) -> float:
        """Wait until every row that is pending now is done. Return the seconds that it took."""
        started = time.monotonic()
        now = self.pending()
        wait_until(lambda: not now & self.pending(), seconds)
        return time.monotonic() - started


def _is_attached(memory: str) -> bool:
    """Return whether a process has that segment of shared memory."""
    names, *segments = map(str.split, Path("/proc/sysvipc/shm").read_text().splitlines())
    of, users = names.index("shmid"), names.index("nattch")
    return any(segment[of] == memory and segment[users] != "0" for segment in segments)


_CLAIMED = """
    SELECT 1 FROM pg_locks JOIN pg_class ON pg_class.oid = pg_locks.relation
    WHERE relname = 'timelines_fanout' AND mode = 'RowShareLock' AND granted
    AND pid <> pg_backend_pid()
"""

Fault = Callable[[Cluster], None]


def worker_killed(cluster: Cluster) -> None:
    """Kill a worker and its children with SIGKILL, then start another."""
    cluster.kill("one")
    cluster.start_worker("one")


def worker_terminated(cluster: Cluster) -> None:
    """Send SIGTERM to a worker, which exits by itself. Start another."""
    cluster.terminate("one")
    cluster.start_worker("one")


def web_killed(cluster: Cluster) -> None:
    """Kill the web server and its children with SIGKILL, then start another."""
    cluster.kill("web")
    cluster.start_web(cluster.web_port)


def postgres_killed(cluster: Cluster) -> None:
    """Kill Postgres with SIGKILL. It recovers from its write-ahead log."""
    cluster.kill_postgres()
    cluster.start_postgres()


def _kill_valkey(cluster: Cluster) -> Path:
    cluster.valkey.process.kill()
    cluster.valkey.process.wait()
    return cluster.folder / "valkey"


def valkey_emptied(cluster: Cluster) -> None:
    """Kill Valkey and restart it without data."""
    home = _kill_valkey(cluster)
    subprocess.run(["rm", "-rf", home], check=True)
    cluster.start_valkey()


def valkey_reverted(cluster: Cluster) -> None:
    """Kill Valkey and restart it with its data from 5 s earlier."""
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
    """Suspend Valkey for a while, so that requests time out."""
    cluster.valkey.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    cluster.valkey.process.send_signal(signal.SIGCONT)


def valkey_stopped(cluster: Cluster, seconds: float = 10) -> None:
    """Stop Valkey for a while, so that connections are refused."""
    _kill_valkey(cluster)
    time.sleep(seconds)
    cluster.start_valkey()


def valkey_full(cluster: Cluster, seconds: float = 5) -> None:
    """Leave Valkey without free memory for a while, so that writes fail."""
    cluster.redis().config_set("maxmemory", 1)
    time.sleep(seconds)
    cluster.redis().config_set("maxmemory", 0)


def frozen_briefly(cluster: Cluster) -> None:
    """Suspend Valkey for two seconds."""
    valkey_frozen(cluster, 2)


def stopped_briefly(cluster: Cluster) -> None:
    """Stop Valkey for two seconds."""
    valkey_stopped(cluster, 2)


def full_briefly(cluster: Cluster) -> None:
    """Leave Valkey without free memory for two seconds."""
    valkey_full(cluster, 2)


STORM_FAULTS: list[Fault] = [
    *(worker_killed, worker_terminated, web_killed, postgres_killed),
    *(valkey_emptied, frozen_briefly, stopped_briefly, full_briefly),
]
