"""Start every part of Twit in order, show a tweet arriving, serve, and stop in reverse order."""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import httpx
import redis

from twit.local import demo, postgres, process, valkey
from twit.local.net import LOOPBACK, free_port
from twit.local.place import Occupied, Place

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT_PORT = 8000
MAX_PORT = 65535
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit code."""
    for number in STOP_SIGNALS:  # SIGINT too: a shell's background jobs are born ignoring it
        signal.signal(number, signal.default_int_handler)
    place = Place(CHECKOUT)
    try:
        lock = place.occupy()
    except Occupied as holder:
        print(f"twit is up already in this checkout: {holder}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"twit: {error}; was `make up` run here by another user?", file=sys.stderr)
        return 1
    up = Up(place)
    try:
        up.choose_port()
        up.start()
        place.announce(lock, f"pid {os.getpid()}, {up.address}")
        try:
            demo.show(up.address)
        except httpx.HTTPError as error:
            raise process.StepFailed(str(error), place.logs / "web.log") from error
        demo.show_addresses(up.address, up.admin_login, place)
        up.serve()
    except KeyboardInterrupt:
        return 0
    except process.StepFailed as error:
        print(f"FAILED\n{error}", file=sys.stderr)
        if error.log:
            print(f"What it said is at the end of {error.log}", file=sys.stderr)
        print("Once that is mended run `make up` again; nothing is lost.", file=sys.stderr)
        return 1
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not strand a server
        up.stop()
        place.leave(lock)


class Up:
    """The running parts. `address` is the web server's."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.children: list[process.Child] = []
        self.port = 0
        self.address = ""
        self.admin_login = ""

    def choose_port(self) -> None:
        """TWIT_PORT, or a free one where that is busy. Raises StepFailed if it is no port."""
        asked = os.environ.get("TWIT_PORT") or str(DEFAULT_PORT)
        wanted = int(asked) if asked.isascii() and asked.isdigit() else 0
        if not 1 <= wanted <= MAX_PORT:
            raise process.StepFailed(f"TWIT_PORT is {asked!r}: a number from 1 to {MAX_PORT}")
        self.port = free_port(wanted)
        if self.port != wanted:
            print(f"Port {wanted} can't be had: Twit takes {self.port} (TWIT_PORT picks another).")
        self.address = f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start all parts, each ready before the next step needs it. Raises StepFailed."""
        variables = {
            "DATABASE_URL": os.environ.get("DATABASE_URL") or self._start_postgres(),
            "REDIS_URL": self._given_redis() or self._start_valkey(),
            "SECRET_KEY": os.environ.get("SECRET_KEY") or self.place.secret("django"),
            "TWIT_OPEN_API": os.environ.get("TWIT_OPEN_API") or "on",
            "TWIT_HTTPS": "off",
            "ALLOWED_HOSTS": f"localhost,{LOOPBACK}",
        }
        self.place.publish(variables)
        os.environ.update(variables)
        with step("Tables"):
            self._migrate()
        with step("Web server, worker, scheduler"):
            self._start_processes()

    def _start_postgres(self) -> str:
        with step("Postgres"):
            child, url = postgres.start(
                self.place.root / "postgres",
                password=self.place.secret("postgres"),
                log=self.place.logs / "postgres.log",
            )
            self.children.append(child)
            return url

    def _given_redis(self) -> str:
        url = os.environ.get("REDIS_URL", "")
        if url:
            with step("REDIS_URL"):
                try:
                    redis.Redis.from_url(url).ping()
                except redis.RedisError as error:
                    raise process.StepFailed(str(error)) from error
        return url

    def _start_valkey(self) -> str:
        with step("Valkey"):
            child, url = valkey.start(
                self.place.root / "valkey",
                password=self.place.secret("valkey"),
                log=self.place.logs / "valkey.log",
            )
            self.children.append(child)
            return url

    def _migrate(self) -> None:
        import django
        from django.core.management import call_command
        from django.db import OperationalError, connections

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")
        django.setup()
        logging.getLogger("httpx").setLevel(logging.WARNING)  # no line a request
        try:
            call_command("migrate", verbosity=0)
        except OperationalError as error:
            raise process.StepFailed(f"DATABASE_URL: {error}") from error
        self.admin_login = demo.load(self.place)
        connections.close_all()

    def _start_processes(self) -> None:
        python, celery = sys.executable, (sys.executable, "-m", "celery", "-A", "twit")
        worker_name = f"local-{os.getpid()}@{socket.gethostname()}"
        beat_pid = self.place.root / "beat.pid"
        beat_pid.unlink(missing_ok=True)  # what a killed one left
        commands = {
            "web": [
                *(python, "-m", "granian", "--interface", "wsgi", "--host", LOOPBACK),
                *("--port", str(self.port), "--workers", "2", "--blocking-threads", "4"),
                *("--access-log", "twit.wsgi:application"),
            ],
            "worker": [*celery, "worker", "-c", "2", "-n", worker_name, "-l", "info"],
            "beat": [
                *(*celery, "beat", "-l", "info", "--pidfile", str(beat_pid)),
                *("--schedule", str(self.place.root / "beat-schedule")),
            ],
        }
        for name, command in commands.items():
            log = self.place.logs / f"{name}.log"
            self.children.append(process.start(name, command, log=log, cwd=CHECKOUT))
        web, worker, beat = self.children[-3:]
        wait_for(web, lambda: answers(self.address))
        wait_for(worker, lambda: is_working(worker_name))
        wait_for(beat, beat_pid.exists)

    def serve(self) -> NoReturn:
        """Replace parts that end. Raises StepFailed when that is of no use."""
        while True:
            for position, child in enumerate(self.children):
                if child.process.poll() is not None:
                    print(f"{child.name} ended and is started again; see {child.log}", flush=True)
                    self.children[position] = child.replace()
            time.sleep(0.5)

    def stop(self) -> None:
        """Stop what was started, in reverse order."""
        for child in reversed(self.children):
            child.stop()


@contextmanager
def step(name: str) -> Iterator[None]:
    """One line of progress: the step's name, then how long it took."""
    print(f"{name} ".ljust(34, "."), end=" ", flush=True)
    started = time.monotonic()
    yield
    print(f"ready ({time.monotonic() - started:.1f} s)", flush=True)


def wait_for(child: process.Child, is_ready: Callable[[], bool], seconds: float = 60) -> None:
    """Return once `is_ready`; raise StepFailed if the child ends or takes too long."""
    deadline = time.monotonic() + seconds
    while not is_ready():
        child.check_alive()
        if time.monotonic() > deadline:
            raise process.StepFailed(f"{child.name} was not ready in {seconds:.0f} s", child.log)
        time.sleep(0.05)


def answers(address: str) -> bool:
    """Whether the API answers there."""
    try:
        return httpx.get(f"{address}/tweets?limit=1", trust_env=False).is_success
    except httpx.TransportError:
        return False


def is_working(worker_name: str) -> bool:
    """Whether that Celery worker answers a ping through the broker."""
    from twit.celery import app

    return bool(app.control.ping(destination=[worker_name], limit=1, timeout=0.5))
