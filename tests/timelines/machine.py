"""What the protocol's tests drive by hand: a Valkey to restart, and workers that stop half-way."""

import itertools
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connection
from django.test import override_settings

from timelines import fanout, server, store
from timelines.fanout import Claim
from twit.local import valkey
from twit.local.net import free_port


class Valkey:
    """A server of the test's own, at one address, to restart empty or from a snapshot."""

    def __init__(self, folder: Path) -> None:
        self.home, self.log = folder / "valkey", folder / "valkey.log"
        self.snapshot = folder / "snapshot.rdb"
        self.port = free_port()
        self.start()

    def start(self) -> None:
        self.child, self.url = valkey.start(
            self.home, password="tests", log=self.log, durable=False, port=self.port
        )

    def freeze(self) -> None:
        self.child.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.child.process.send_signal(signal.SIGCONT)

    def take_snapshot(self) -> None:
        server.client().save()
        shutil.copy(self.home / "dump.rdb", self.snapshot)

    def restart(self, *, from_snapshot: bool) -> None:
        """Kill it; what comes back is empty, or as old as the snapshot."""
        self.child.process.send_signal(signal.SIGKILL)
        self.child.process.wait()
        (self.home / "dump.rdb").unlink(missing_ok=True)
        if from_snapshot and self.snapshot.exists():
            shutil.copy(self.snapshot, self.home / "dump.rdb")
        self.start()


@contextmanager
def own_valkey(folder: Path) -> Iterator[Valkey]:
    """A Valkey that `store` talks to meanwhile."""

    own = Valkey(folder)
    try:
        with override_settings(REDIS_URL=own.url):
            server.client.cache_clear()
            yield own
            server.client().close()
    finally:
        server.client.cache_clear()
        own.child.stop()


class Worker:
    """A fan-out worker with a database connection of its own, whose round is taken in steps."""

    def __init__(self) -> None:
        known = connection.settings_dict
        self.connection = psycopg.connect(
            host=known["HOST"],
            port=known["PORT"],
            user=known["USER"],
            password=known["PASSWORD"],
            dbname=known["NAME"],
        )
        self.claims: list[Claim] = []
        self.results: list[int | Exception] | None = None

    def claim(self, rows: int, followers: int) -> None:
        self.claims = fanout.claim(psycopg.RawCursor(self.connection), rows, followers)
        self.results = None

    def push(self) -> None:
        self.results = fanout.push(self.claims)

    def finish(self) -> None:
        assert self.results is not None
        fanout.finish(psycopg.RawCursor(self.connection), self.claims, self.results)
        self.connection.commit()
        self.claims, self.results = [], None

    def die(self) -> None:
        """Lose whatever was not finished."""
        self.connection.rollback()
        self.claims, self.results = [], None


def believed(reader_id: int, version: int) -> Iterator[store.Listed]:
    """Every newest part of the reader's list, and the whole, if they would be believed."""
    for newest in itertools.count(1):
        listed = store.read(reader_id, newest, renew=False)
        if listed is None or not listed.is_believed(version):
            return
        yield listed
        if listed.is_whole:
            return


def small_lists(*, cap: int, slack: int) -> override_settings:
    """Lists of so few elements that they are trimmed, and marked, all the time."""
    assert settings.HOME_TIMELINE_CAP
    return override_settings(HOME_TIMELINE_CAP=cap, HOME_TIMELINE_SLACK=slack)
