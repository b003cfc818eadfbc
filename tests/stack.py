"""Starts and stops Twit's own processes: web server, workers and scheduler."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg

from twit.local import process
from twit.local.net import LOOPBACK, free_port

CHECKOUT = Path(__file__).resolve().parents[1]


class Stack:
    """The running processes. Logs go to `folder`."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.folder = folder
        self.children: dict[str, process.Child] = {}
        self.clients = ExitStack()
        self.database_url = database_url
        self.env = os.environ | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        self.env["TMPDIR"] = str(folder)  # where killed processes leave their files

    def start_web(
        self,
        port: int | None = None,
        *,
        processes: int = 1,
        access_log: bool = False,
        probe: str = "/tweets?limit=1",
        **env: str,
    ) -> httpx.Client:
        """Start a web server. Return a client once the server responds at the path `probe`."""
        port = port or free_port()
        command = [
            *(sys.executable, "-m", "twit.web", "--port", str(port), "--workers", str(processes)),
            *(["--access-log"] if access_log else []),
        ]
        child = self._start("web", command, env)
        self.address = f"http://{LOOPBACK}:{port}"
        client = self.client()

        def responds() -> bool:
            child.check_alive()
            try:
                return client.get(probe).is_success
            except httpx.TransportError:
                return False

        wait_until(responds)
        return client

    def client(self, token: str | None = None, **headers: str) -> httpx.Client:
        """Return a client of the web server, which sends the token. It is closed by `stop`."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        certificates = False  # loading them takes 30 ms
        return self.clients.enter_context(
            httpx.Client(
                base_url=self.address,
                headers=headers,
                timeout=30,
                trust_env=False,
                verify=certificates,
            )
        )

    def start_worker(
        self,
        name: str,
        *options: str,
        processes: int = 1,
        wait: bool = True,
        env: dict[str, str] | None = None,
    ) -> process.Child:
        """Start a Celery worker from the command line. Return its process once it is ready.

        With `wait` off, return at once.
        """
        node = f"{name}-{os.getpid()}@test"
        command = [sys.executable, "-m", "celery", "-A", "twit", "worker", "-n", node]
        command += ["-c", str(processes), "-l", "info", *options]
        child = self._start(name, command, env or {})

        def is_ready() -> bool:
            child.check_alive()
            with (self.folder / f"{name}.log").open("rb") as log:
                log.seek(child.log_start)  # another one of that name may have been killed
                return f"{node} ready".encode() in log.read()

        if wait:
            wait_until(is_ready)
        return child

    def start_beat(self) -> None:
        """Start the scheduler without waiting until it is ready."""
        schedule = str(self.folder / "schedule")
        command = [sys.executable, "-m", "celery", "-A", "twit", "beat", "-s", schedule]
        self._start("beat", [*command, "--pidfile", ""], {})

    def manage(self, *command: str) -> str:
        """Return what a management command prints, stripped."""
        return subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=CHECKOUT,
            env=self.env,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        ).stdout.strip()

    def sql(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement, bypassing Django. Return its rows, if any."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def _start(self, name: str, command: list[str], env: dict[str, str]) -> process.Child:
        log = self.folder / f"{name}.log"
        child = process.Child(name, command, log=log, env=self.env | env, cwd=CHECKOUT)
        self.children[name] = child
        return child

    def log(self, name: str) -> str:
        """Return what the process has printed so far."""
        return (self.folder / f"{name}.log").read_text()

    def kill(self, name: str) -> None:
        """Kill the process and its children with SIGKILL."""
        child = self.children.pop(name)
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()

    def stop(self) -> None:
        """Kill all processes and close all clients. Nothing waits for an orderly end."""
        self.clients.close()
        for name in [*self.children]:
            self.kill(name)


def wait_until(
    condition: Callable[[], Any], seconds: float = 60, pause_seconds: float = 0.02
) -> None:
    """Return once the condition is true. Fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition was not true within {seconds} s"
        time.sleep(pause_seconds)
