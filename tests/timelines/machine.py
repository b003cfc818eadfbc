"""What the protocol's tests drive by hand: a Valkey to restart, and workers that stop half-way."""

import itertools
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import psycopg
from django.db import connection
from django.test import override_settings

from tests.valkey import client
from timelines.delivery import rounds
from timelines.delivery.rounds import Claim
from timelines.lists import changes, store
from timelines.lists.changes import Outcome
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
        client().save()
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
            yield own
            client().close()
    finally:
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
        self.outcomes: list[Outcome] | None = None

    def claim(self, rows: int, followers: int) -> None:
        self.claims = rounds.claim(psycopg.RawCursor(self.connection), rows, followers)
        self.outcomes = None

    def push(self) -> None:
        self.outcomes = changes.apply([claim.change for claim in self.claims])

    def finish(self) -> None:
        assert self.outcomes is not None
        rounds.finish(psycopg.RawCursor(self.connection), self.claims, self.outcomes)
        self.connection.commit()
        self.claims, self.outcomes = [], None

    def die(self) -> None:
        """Lose whatever was not finished."""
        self.connection.rollback()
        self.claims, self.outcomes = [], None


def believed(reader_id: int, version: int) -> Iterator[store.Listed]:
    """Every newest part of the reader's list, and the whole, if they would be believed."""
    for newest in itertools.count(1):
        listed = store.read(reader_id, newest, renew=False)
        if listed is None or not listed.is_believed(version):
            return
        yield listed
        if listed.is_whole:
            return


@contextmanager
def small_lists(*, cap: int, spacing: int) -> Iterator[None]:
    """Lists of so few elements that they are tended all the time."""
    with patch.multiple(store, CAP=cap, MARK_SPACING=spacing):
        yield
