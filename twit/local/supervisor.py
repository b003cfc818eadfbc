"""Starts every part of Twit in order, keeps them running, and stops them in reverse order."""

import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import httpx
import psycopg

from twit import environment
from twit.local import postgres, process, valkey
from twit.local.net import LOOPBACK, free_port
from twit.local.place import CHECKOUT, Occupied, Place
from twit.local.process import Child, StepFailed
from twit.local.signals import Stopped, StopSignals
from twit.local.terminal import say, step

# Servers that have a role of their own, if the environment names them.
ROLES = ("BROKER_URL", "LIMITS_URL")


def main() -> None:
    """Run until Ctrl-C or SIGTERM. Exits with code 1 if a part does not become ready."""
    signals = StopSignals()
    with environment.plain_exit():
        variables = environment.read(needs_secret=False)
    place = Place(CHECKOUT)
    try:
        lock = place.occupy()
    except Occupied as holder:
        sys.exit(f"twit is already running in this checkout: {holder}")
    except OSError as error:
        sys.exit(f"twit: {error}; did another user run `make up` here?")
    up = Up(place, variables.TWIT_PORT, signals.check)
    try:
        up.start()
        place.announce(lock, f"pid {os.getpid()}, {up.address}")
        up.show()
        up.serve()
    except Stopped:
        pass
    except (StepFailed, OSError) as error:
        say(f"FAILED\n{error}", file=sys.stderr)
        say("Fix that and run `make up` again; nothing is lost.", file=sys.stderr)
        sys.exit(1)
    finally:
        up.stop()
        place.leave(lock)


class Up:
    """The running parts. `address` is the web server's, on `port` or, if that is busy, another.

    `check` raises Stopped when the parts shall stop.
    """

    def __init__(self, place: Place, port: int, check: Callable[[], None]) -> None:
        self.place, self.check = place, check
        self.children: list[Child] = []
        self.port = free_port(port)
        self.address = f"http://{LOOPBACK}:{self.port}"
        if self.port != port:
            say(f"Port {port} is busy: Twit uses {self.port} (set TWIT_PORT to choose another).")

    def pause(self, seconds: float) -> None:
        """Sleep, after starting parts again that have ended. Raises Stopped.

        A part that has never been ready is not started again: what waits for it gives up.
        """
        self.check()
        for child in self.children:
            if child.is_ready:
                child.restart_if_ended()
        time.sleep(seconds)

    def start(self) -> None:
        """Start all parts, each before those that need it. Raises StepFailed and Stopped."""
        variables = {
            "DATABASE_URL": self._given_database() or self._start("Postgres", postgres.start),
            "REDIS_URL": self._given_redis() or self._start("Valkey", valkey.start),
            "SECRET_KEY": os.environ.get("SECRET_KEY") or self.place.secret("django"),
            "TWIT_OPEN_API": os.environ.get("TWIT_OPEN_API") or "on",
            "TWIT_HTTPS": "off",
            "ALLOWED_HOSTS": f"localhost,{LOOPBACK}",
        }
        variables |= {name: os.environ[name] for name in ROLES if name in os.environ}
        self.place.publish(variables)
        os.environ.update(variables)
        with step("Tables"):
            self._demo("load", log=self.place.logs / "tables.log")
        with step("Web server, worker, scheduler"):
            self._start_processes()

    def _start(self, name: str, start: Callable[..., tuple[Child, str]]) -> str:
        folder, log = self.place.root / name.lower(), self.place.logs / f"{name.lower()}.log"
        with step(name):
            password = self.place.secret(folder.name)
            child, url = start(folder, password=password, log=log, pause=self.pause)
            self.children.append(child)
        return url

    def _given_database(self) -> str | None:
        if url := os.environ.get("DATABASE_URL"):
            with step("DATABASE_URL"):
                try:
                    psycopg.connect(url, connect_timeout=5).close()
                except psycopg.OperationalError as error:
                    raise StepFailed(str(error)) from error
        return url

    def _given_redis(self) -> str | None:
        if url := os.environ.get("REDIS_URL"):
            with step("REDIS_URL"):
                valkey.ping(url)
        return url

    def _demo(self, *arguments: str, log: Path | None) -> None:
        """Run a step that needs Django. It has its own process, so that it can be broken off."""
        command = [sys.executable, "-m", "twit.local.demo", *arguments]
        process.run(Child(f"The step `{arguments[0]}`", command, log, cwd=CHECKOUT), self.pause)

    def _start_processes(self) -> None:
        python, celery = sys.executable, (sys.executable, "-m", "celery", "-A", "twit")
        worker_name = f"local-{os.getpid()}@{socket.gethostname()}"
        beat_pid = self.place.root / "beat.pid"
        beat_pid.unlink(missing_ok=True)  # a killed one may have left it
        commands = {
            "web": [
                *(python, "-m", "twit.web", "--host", LOOPBACK, "--port", str(self.port)),
                *("--workers", "2", "--access-log"),
            ],
            "worker": [*celery, "worker", "-c", "2", "-n", worker_name, "-l", "info"],
            "beat": [
                *(*celery, "beat", "-l", "info", "--pidfile", str(beat_pid)),
                *("--schedule", str(self.place.root / "beat-schedule")),
            ],
        }
        log_before = _size(self.place.logs / "worker.log")
        for name, command in commands.items():
            log = self.place.logs / f"{name}.log"
            self.children.append(Child(name, command, log=log, cwd=CHECKOUT))
        web, worker, beat = self.children[-3:]
        web.wait_for(partial(_check_api, self.address), httpx.HTTPError, pause=self.pause)
        is_ready = partial(_check_worker, self.place.logs / "worker.log", log_before)
        worker.wait_for(is_ready, LookupError, pause=self.pause)
        beat.wait_for(beat_pid.stat, FileNotFoundError, pause=self.pause)

    def show(self) -> None:
        """Show one delivery, and print the addresses. Raises StepFailed and Stopped."""
        self._demo("show", self.address, log=None)

    def serve(self) -> NoReturn:
        """Keep the parts running. Raises Stopped."""
        while True:
            self.pause(0.1)

    def stop(self) -> None:
        for child in reversed(self.children):
            child.stop()


def _check_api(address: str) -> None:
    httpx.get(f"{address}/tweets?limit=1", trust_env=False).raise_for_status()


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _check_worker(log: Path, start: int) -> None:
    with log.open("rb") as lines:
        lines.seek(start)
        if b" ready.\n" not in lines.read():
            raise LookupError("it is not connected to the broker")
