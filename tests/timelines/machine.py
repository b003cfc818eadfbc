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
from psycopg.rows import TupleRow

from tests.psql import connect
from tests.valkey import client
from timelines.delivery import claims, flags, front, ranges, rounds
from timelines.delivery.claims import Claim
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

    def cursor(self) -> psycopg.RawCursor[TupleRow]:
        return psycopg.RawCursor(self.connection)

    def claim(self, rows: int, followers: int) -> None:
        self.claims = claims.claim(self.cursor(), rows, followers)
        self.outcomes = None

    def push(self) -> None:
        self.outcomes = changes.apply([claim.change for claim in self.claims])

    def finish(self) -> None:
        assert self.outcomes is not None
        rounds.finish(self.cursor(), self.claims, self.outcomes)
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


@contextmanager
def small_ranges(*, whole_followers: int | None = None, long_followers: int = 3) -> Iterator[None]:
    """Split fan-outs with more than `long_followers` left into ranges of about one each.

    `whole_followers` limits the followers of a row that was not split.
    """
    most = claims.WHOLE_FOLLOWERS
    claim = claims.CLAIM.replace(f"{most} AS most", f"{whole_followers or most} AS most")
    sizes = patch.multiple(ranges, LONG_FOLLOWERS=long_followers, FOLLOWERS_PER_RANGE=1)
    with sizes, patch.object(claims, "CLAIM", claim):
        yield


@contextmanager
def no_patience() -> Iterator[None]:
    """Flag each delivery that a sweep finds, and move the front of the outbox with each claim."""
    late = flags.LATE.replace("interval '1 s'", "interval '0 s'")
    assert late != flags.LATE
    with patch.object(flags, "LATE", late), patch.object(front, "LOOK_SECONDS", 0):
        yield
