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

from backends import checks
from twit import environment
from twit.local import postgres, process, valkey
from twit.local.net import LOOPBACK, free_port, metrics_ports
from twit.local.place import CHECKOUT, Occupied, Place
from twit.local.process import Child, StepFailed
from twit.local.signals import Stopped, StopSignals
from twit.local.terminal import say, step


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
    up = Up(place, variables.TWIT_PORT, variables.TWIT_VALKEYS, signals.check)
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

    Several `valkeys` form a cluster. `check` raises Stopped when the parts should stop.
    """

    def __init__(self, place: Place, port: int, valkeys: int, check: Callable[[], None]) -> None:
        self.place, self.valkeys, self.check = place, valkeys, check
        self.children: list[Child] = []
        self.port = free_port(port)
        self.address = f"http://{LOOPBACK}:{self.port}"
        if self.port != port:
            say(f"Port {port} is busy: Twit uses {self.port} (set TWIT_PORT to choose another).")

    def pause(self, seconds: float) -> None:
        """Restart parts that have ended, bound logs, and sleep. Raises Stopped.

        A part that has never been ready is not restarted. The step that waits for it fails.
        """
        self.check()
        for child in self.children:
            if child.is_ready:
                child.restart_if_ended()
                child.bound_log()
        time.sleep(seconds)

    def start(self) -> None:
        """Start all parts, each before those that need it. Raises StepFailed and Stopped."""
        variables = {
            "DATABASE_URL": self._given_database() or self._start("Postgres", postgres.start),
            **(self._given_servers() or self._start_valkeys()),
            "SECRET_KEY": os.environ.get("SECRET_KEY") or self.place.secret("django"),
            "TWIT_OPEN_API": os.environ.get("TWIT_OPEN_API") or "on",
            "TWIT_HTTPS": "off",
            "ALLOWED_HOSTS": f"localhost,{LOOPBACK}",
        }
        self.place.publish(variables)
        os.environ.update(variables | metrics_ports(self.port))
        with step("Tables"):
            self._demo("load", log=self.place.logs / "tables.log")
        with step("Web server, worker, scheduler"):
            self._start_processes()

    def _start(self, name: str, start: Callable[..., tuple[Child, str]]) -> str:
        slug = name.lower().replace(" ", "-")
        with step(name):
            password = self.place.secret(slug.partition("-")[0])
            log = self.place.logs / f"{slug}.log"
            child, url = start(self.place.root / slug, password=password, log=log, pause=self.pause)
            self.children.append(child)
        return url

    def _start_valkeys(self) -> dict[str, str]:
        """Start one for everything, or a cluster for the timelines and one for the rest."""
        one = self._start("Valkey", valkey.start)
        if self.valkeys == 1:
            return {"REDIS_URL": one} | _given("BROKER_URL", "LIMITS_URL")
        names = [f"Valkey {number} of {self.valkeys}" for number in range(1, self.valkeys + 1)]
        starts = [partial(valkey.start, config=valkey.of_a_node()) for _ in names]
        nodes = list(map(self._start, names, starts))
        with step("Cluster"):
            cluster = valkey.join(nodes, self.pause)
        urls = {"REDIS_URL": cluster, "BROKER_URL": one, "LIMITS_URL": one}
        return urls | _given("BROKER_URL", "LIMITS_URL")

    def _given_database(self) -> str | None:
        if url := os.environ.get("DATABASE_URL"):
            with step("DATABASE_URL"):
                try:
                    psycopg.connect(url, connect_timeout=5).close()
                except psycopg.OperationalError as error:
                    raise StepFailed(str(error)) from error
        return url

    def _given_servers(self) -> dict[str, str]:
        """Return the URLs that the environment names, if it names one for the timelines."""
        urls = _given(*checks.ROLES)
        if "REDIS_URL" not in urls:
            return {}
        with step("REDIS_URL"):
            valkey.ask(urls["REDIS_URL"], ("PING",))
            for problem in checks.problems(urls):
                if problem.is_fatal:
                    raise StepFailed(problem.text)
        return urls

    def _demo(self, *arguments: str, log: Path | None) -> None:
        """Run a step that needs Django, in a process of its own, so that it can be interrupted."""
        command = [sys.executable, "-m", "twit.local.demo", *arguments]
        process.run(Child(f"The step `{arguments[0]}`", command, log, cwd=CHECKOUT), self.pause)

    def _start_processes(self) -> None:
        python, celery = sys.executable, (sys.executable, "-m", "celery", "-q", "-A", "twit")
        worker_name = f"local-{os.getpid()}@{socket.gethostname()}"
        beat_pid = self.place.root / "beat.pid"
        beat_pid.unlink(missing_ok=True)  # a killed one may have left it
        commands = {
            "web": [
                *(python, "-m", "twit.web", "--host", LOOPBACK, "--port", str(self.port)),
                *("--workers", "2", "--access-log"),
            ],
            "worker": [*celery, "worker", "-c", "2", "-n", worker_name],
            "beat": [
                *(*celery, "beat", "--pidfile", str(beat_pid)),
                *("--schedule", str(self.place.root / "beat-schedule")),
            ],
        }
        for name, command in commands.items():
            log = self.place.logs / f"{name}.log"
            self.children.append(Child(name, command, log=log, cwd=CHECKOUT))
        web, worker, beat = self.children[-3:]
        web.wait_for(partial(_check_api, self.address), httpx.HTTPError, pause=self.pause)
        is_ready = partial(_check_worker, self.place.logs / "worker.log", worker.log_start)
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


def _given(*names: str) -> dict[str, str]:
    return {n: url for n in names if (url := getattr(environment.read(needs_secret=False), n))}


def _check_api(address: str) -> None:
    httpx.get(f"{address}/tweets?limit=1", trust_env=False).raise_for_status()


def _check_worker(log: Path, start: int) -> None:
    with log.open("rb") as lines:
        lines.seek(start)
        if b" ready." not in lines.read():
            raise LookupError("it is not connected to the broker")
