"""Parts that tests of the protocol control: a Valkey to restart, and workers that run in steps."""

import itertools
import shutil
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import psycopg
import redis
from django.db import connection
from django.test import override_settings
from psycopg.rows import TupleRow

from api.fields import MAX_ID
from backends import nodes, servers
from backends.valkey import Unavailable
from tests.psql import connect
from tests.stack import wait_until
from tests.timelines.lists import admit
from tests.valkey import client
from timelines.delivery import claims, decision, flags, front, ranges, rounds
from timelines.delivery.claims import Claim
from timelines.lists import admission, changes, store
from timelines.lists.changes import Outcome, Share
from timelines.lists.listed import Listed, Source
from timelines.reading.hydration import Hydrated, hydrate
from twit.local import valkey
from twit.local.net import free_port


class Valkey:
    """A server for one test. It restarts at the same address, empty or from a snapshot."""

    def __init__(self, folder: Path) -> None:
        self.home, self.log = folder / "valkey", folder / "valkey.log"
        self.snapshot = folder / "snapshot.rdb"
        self.port = free_port()
        self.is_frozen = False
        self.start()

    def start(self) -> None:
        self.child, self.url = valkey.start(
            self.home, password="tests", log=self.log, durable=False, port=self.port
        )

    def freeze(self) -> None:
        self.is_frozen = True
        self.child.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.is_frozen = False
        self.child.process.send_signal(signal.SIGCONT)

    def take_snapshot(self) -> None:
        with redis.Redis.from_url(self.url) as server:
            # A copy for a replica is made in the background.
            wait_until(lambda: not server.info("persistence")["rdb_bgsave_in_progress"])
            server.save()
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
        with override_settings(REDIS_URL=own.url, LIMITS_URL=own.url):
            admit()
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
        self.admissions = admission.current(self.cursor())
        self.outcomes = None

    def push(self) -> None:
        changed = [claim.change for claim in self.claims]
        self.outcomes = changes.apply(changed, self.admissions)

    def finish(self) -> None:
        assert self.outcomes is not None
        rounds.finish(self.cursor(), self.claims, self.outcomes)
        self.connection.commit()
        self.claims, self.outcomes = [], None

    def die(self) -> None:
        """Roll back the round, unless it is finished."""
        self.connection.rollback()
        self.claims, self.outcomes = [], None


def believed(reader_id: int) -> Iterator[Listed]:
    """Yield each newest part of the reader's list that a read would believe, the whole one last."""
    with suppress(Unavailable):
        known: dict[Source, Hydrated] = {}
        for newest in itertools.count(1):
            listed = store.read(reader_id, newest, renew=False)
            if listed is None:
                return
            source = listed.source
            if source not in known:
                known[source] = hydrate(reader_id, [], source, above=0, below=MAX_ID)
            hydrated = known[source]
            if not listed.is_believed(hydrated.follows_version, hydrated.generation):
                return
            yield listed
            if listed.is_whole:
                return


# Readers and tweets, for the tweets that have no pending fan-out.
DELIVERED = """
    SELECT follow.follower_id, tweet.id
    FROM tweets_tweet AS tweet
    JOIN users_follow AS follow ON follow.followed_id = tweet.author_id
    WHERE NOT EXISTS (SELECT FROM timelines_fanout WHERE tweet_id = tweet.id)
"""


def all_delivered() -> dict[int, set[int]]:
    """Return the ids of the delivered tweets on each reader's home timeline."""
    found = defaultdict[int, set[int]](set)
    with connection.cursor() as cursor:
        cursor.execute(DELIVERED)
        for reader_id, tweet_id in cursor.fetchall():
            found[reader_id].add(tweet_id)
    return found


@contextmanager
def after_sending(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` once, when a round has sent its commands and has not read any reply."""
    step, sent, acts = Share.step, list[Share](), [act]

    def step_and_act(share: Share) -> None:
        if share in sent and acts:
            acts.pop()()
        sent.append(share)
        step(share)

    with patch.object(Share, "step", step_and_act):
        yield


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
    """Flag, admit and retry at once, and move the front of the outbox with each claim."""
    late = flags.LATE.replace("interval '1 s'", "interval '0 s'")
    assert late != flags.LATE
    admitting = patch.multiple(decision, SILENT_SECONDS=0.0, MOST_SILENT_SECONDS=0.0, MISSES=0)
    moving = patch.object(front, "LOOK_SECONDS", 0)
    pauses = patch.multiple(rounds, PAUSES_SECONDS=(0,), SERVER_PAUSES_SECONDS=(0,))
    trying = patch.object(servers, "BREAKER_SECONDS", 0)
    learning = patch.object(nodes, "REFRESH_SECONDS", 0)
    with learning, admitting, moving, pauses, trying, patch.object(flags, "LATE", late):
        yield
