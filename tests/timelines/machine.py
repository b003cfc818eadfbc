"""Parts that tests of the protocol control: a Valkey to restart, and workers that run in steps."""

import itertools
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import psycopg
from django.test import override_settings

from tests.psql import connect
from tests.valkey import client
from timelines.delivery import rounds
from timelines.delivery.rounds import Claim
from timelines.lists import changes, store
from timelines.lists.changes import Outcome
from twit.local import valkey
from twit.local.net import free_port


class Valkey:
    """A server for one test. It restarts at the same address, empty or from a snapshot."""

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
        """Kill the server, then start it empty or with the data of the last snapshot."""
        self.child.process.send_signal(signal.SIGKILL)
        self.child.process.wait()
        (self.home / "dump.rdb").unlink(missing_ok=True)
        if from_snapshot and self.snapshot.exists():
            shutil.copy(self.snapshot, self.home / "dump.rdb")
        self.start()


@contextmanager
def own_valkey(folder: Path) -> Iterator[Valkey]:
    """Start a Valkey that the application uses during the `with` block."""

    own = Valkey(folder)
    try:
        with override_settings(REDIS_URL=own.url):
            yield own
            client().close()
    finally:
        own.child.stop()


class Worker:
    """A fan-out worker with its own database connection, which runs a round in steps."""

    def __init__(self) -> None:
        self.connection = connect()
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
        """Roll back the round, unless it is finished."""
        self.connection.rollback()
        self.claims, self.outcomes = [], None


def believed(reader_id: int, version: int) -> Iterator[store.Listed]:
    """Yield each newest part of the reader's list that a read would believe, the whole one last."""
    for newest in itertools.count(1):
        listed = store.read(reader_id, newest, renew=False)
        if listed is None or not listed.is_believed(version):
            return
        yield listed
        if listed.is_whole:
            return


@contextmanager
def small_lists(*, cap: int, spacing: int) -> Iterator[None]:
    """Make lists so short that they are trimmed and marked all the time."""
    with patch.multiple(store, CAP=cap, MARK_SPACING=spacing):
        yield
