"""Starts every part of Twit in order, and stops them in reverse order."""

import logging
import os
import signal
import socket
import sys
import time
from typing import NoReturn

import httpx

from backends.valkey import CommandRefused
from twit import environment
from twit.local import demo, postgres, process, valkey
from twit.local.net import LOOPBACK, free_port
from twit.local.place import CHECKOUT, Occupied, Place
from twit.local.steps import answers, is_working, step, wait_for

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run until Ctrl-C or SIGTERM and return the exit code."""
    for number in STOP_SIGNALS:  # SIGINT too: shells start background jobs with it ignored
        signal.signal(number, signal.default_int_handler)
    with environment.plain_exit():
        variables = environment.read(needs_secret=False)
    place = Place(CHECKOUT)
    try:
        lock = place.occupy()
    except Occupied as holder:
        print(f"twit is already running in this checkout: {holder}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"twit: {error}; did another user run `make up` here?", file=sys.stderr)
        return 1
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
        return 0
    except process.StepFailed as error:
        print(f"FAILED\n{error}", file=sys.stderr)
        if error.log:
            print(f"See the end of {error.log}", file=sys.stderr)
        print("Fix that and run `make up` again; nothing is lost.", file=sys.stderr)
        return 1
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
                    valkey.ping(url)
                except (OSError, CommandRefused) as error:
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
        logging.getLogger("httpx").setLevel(logging.WARNING)  # not one line per request
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
        beat_pid.unlink(missing_ok=True)  # a killed one may have left it
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
        """Start parts again that end. Raises StepFailed if one keeps ending."""
        while True:
            for position, child in enumerate(self.children):
                if child.process.poll() is not None:
                    print(f"{child.name} ended and starts again; see {child.log}", flush=True)
                    self.children[position] = child.replace()
            time.sleep(0.5)

    def stop(self) -> None:
        """Stop all parts, in reverse order."""
        for child in reversed(self.children):
            child.stop()
