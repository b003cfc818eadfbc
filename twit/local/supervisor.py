"""Starts every part of Twit in order, and stops them in reverse order."""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NoReturn

import httpx

from twit import environment
from twit.local import demo, postgres, process, valkey
from twit.local.net import LOOPBACK, free_port
from twit.local.place import CHECKOUT, Occupied, Place

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Run until Ctrl-C or SIGTERM. Exits with code 1 if a part fails."""
    for number in STOP_SIGNALS:  # SIGINT too: shells start background jobs with it ignored
        signal.signal(number, signal.default_int_handler)
    with environment.plain_exit():
        variables = environment.read(needs_secret=False)
    place = Place(CHECKOUT)
    try:
        lock = place.occupy()
    except Occupied as holder:
        sys.exit(f"twit is already running in this checkout: {holder}")
    except PermissionError as error:
        sys.exit(f"twit: {error}; did another user run `make up` here?")
    up = Up(place, variables.TWIT_PORT)
    try:
        up.start()
        place.announce(lock, f"pid {os.getpid()}, {up.address}")
        try:
            demo.show(up.address)
        except httpx.HTTPError as error:
            raise process.StepFailed(str(error), place.logs / "web.log") from error
        demo.show_addresses(up.address, up.admin_login, place)
        up.serve()
    except KeyboardInterrupt:
        pass
    except process.StepFailed as error:
        print(f"FAILED\n{error}", file=sys.stderr)
        print("Fix that and run `make up` again; nothing is lost.", file=sys.stderr)
        sys.exit(1)
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not strand a server
        up.stop()
        place.leave(lock)


class Up:
    """The running parts. `address` is the web server's, on `port` or, if that is busy, another."""

    def __init__(self, place: Place, port: int) -> None:
        self.place = place
        self.children: list[process.Child] = []
        self.port = free_port(port)
        self.address = f"http://{LOOPBACK}:{self.port}"
        self.admin_login = ""
        if self.port != port:
            print(f"Port {port} is busy: Twit uses {self.port} (set TWIT_PORT to choose another).")

    def start(self) -> None:
        """Start all parts, each before those that need it. Raises StepFailed."""
        given = os.environ.get
        variables = {
            "DATABASE_URL": given("DATABASE_URL") or self._start_server("Postgres", postgres.start),
            "REDIS_URL": self._given_redis() or self._start_server("Valkey", valkey.start),
            "SECRET_KEY": given("SECRET_KEY") or self.place.secret("django"),
            "TWIT_OPEN_API": given("TWIT_OPEN_API") or "on",
            "TWIT_HTTPS": "off",
            "ALLOWED_HOSTS": f"localhost,{LOOPBACK}",
        }
        self.place.publish(variables)
        os.environ.update(variables)
        with _step("Tables"):
            self._migrate()
        with _step("Web server, worker, scheduler"):
            self._start_processes()

    def _start_server(self, name: str, start: Callable[..., tuple[process.Child, str]]) -> str:
        folder, log = self.place.root / name.lower(), self.place.logs / f"{name.lower()}.log"
        with _step(name):
            child, url = start(folder, password=self.place.secret(folder.name), log=log)
            self.children.append(child)
        return url

    def _given_redis(self) -> str | None:
        if url := os.environ.get("REDIS_URL"):
            with _step("REDIS_URL"):
                valkey.ping(url)
        return url

    def _migrate(self) -> None:
        import django
        from django.core.management import call_command
        from django.db import OperationalError

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")
        django.setup()
        logging.getLogger("httpx").setLevel(logging.WARNING)  # not one line per request
        try:
            call_command("migrate", verbosity=0)
        except OperationalError as error:
            raise process.StepFailed(f"DATABASE_URL: {error}") from error
        self.admin_login = demo.load(self.place)

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
        for name, command in commands.items():
            log = self.place.logs / f"{name}.log"
            self.children.append(process.Child(name, command, log=log, cwd=CHECKOUT))
        web, worker, beat = self.children[-3:]
        web.wait_for(partial(_check_api, self.address), httpx.HTTPError)
        worker.wait_for(partial(_check_worker, worker_name), TimeoutError)
        beat.wait_for(beat_pid.stat, FileNotFoundError)

    def serve(self) -> NoReturn:
        """Start parts again that end. Raises StepFailed if one keeps ending."""
        from django.db import connections

        connections.close_all()
        while True:
            for child in self.children:
                if child.process.poll() is not None:
                    print(f"{child.name} ended and starts again; see {child.log}", flush=True)
                    child.replace()
            time.sleep(0.5)

    def stop(self) -> None:
        for child in reversed(self.children):
            child.stop()


@contextmanager
def _step(name: str) -> Iterator[None]:
    print(f"{name} ".ljust(34, "."), end=" ", flush=True)
    started = time.monotonic()
    yield
    print(f"ready ({time.monotonic() - started:.1f} s)", flush=True)


def _check_api(address: str) -> None:
    httpx.get(f"{address}/tweets?limit=1", trust_env=False).raise_for_status()


def _check_worker(name: str) -> None:
    from twit.celery import app

    if not app.control.ping(destination=[name], limit=1, timeout=0.5):
        raise TimeoutError("it does not answer a ping through the broker")
