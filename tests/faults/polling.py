"""Clients that poll or stream, while others post in any order, delete, follow and unfollow."""

import random
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import httpx
import psycopg

from tests.faults.load import Act, Clients
from tests.pollers import Poller
from tests.stack import Stack
from tests.streamer import Streamer

MOST_PAUSE_SECONDS = 1.0  # between two polls
LIMITS = (1, 2, 5, 20, 20, 200)
MOST_LATE_SECONDS = 1.5  # of a commit, and of a delivery
MOST_BYTES = 3_000  # that a stream's client takes at once
AT_REST_SECONDS = 40  # until a stream has sent everything, even if nothing told it to
# With each author, for a reader.
TIMELINE = """
    SELECT tweet.id, tweet.author_id FROM tweets_tweet AS tweet
    JOIN users_follow AS follow ON follow.followed_id = tweet.author_id
    WHERE follow.follower_id = %s
"""
LATE = """
    UPDATE timelines_fanout SET next_attempt_at = clock_timestamp() + %s * interval '1 second'
    WHERE tweet_id = %s
"""


class Watch:
    """A poller of a reader's home timeline, which has also walked down from its first page."""

    def __init__(self, reader: int) -> None:
        self.reader = reader
        self.poller = Poller(f"/tweets/followed/{reader}?limit=20")
        self.older: str | None = self.poller.address  # of the next page down
        self.seen: set[int] = set()


class Repetitions(NamedTuple):
    """How many tweets all pollers or streams were given, and how many of these once more."""

    given: int
    repeated: int

    def __str__(self) -> str:
        return f"{self.repeated} of {self.given:,} tweets were given again"


class PollingClients(Clients):
    """They also poll and stream, and store tweets that commit or are delivered late.

    Once they leave gaps, they retry posts, roll back, and delete tweets at once. Then ids without a
    tweet hold the low-water id back for a minute, so that it hides no more mistakes.
    """

    leaves_gaps = False

    def __init__(self, stack: Stack, users: int, seed: int = 1, of_each: int = 20) -> None:
        super().__init__(stack, users, seed)
        rng = random.Random(seed)
        self.watches = [Watch(rng.randint(1, self.users)) for _ in range(of_each)]
        self.streams = {
            # From before the first tweet.
            Streamer(stack.address, f"/tweets/followed/{watch.reader}/stream?after=AA"): watch
            for watch in self.watches
        }
        self.disconnections = 0

    def acts(self) -> Sequence[Act]:
        polls = [partial(self._poll, watch) for watch in self.watches]
        streams = [partial(self._stream, stream) for stream in self.streams]
        return *super().acts(), self._post_again, *[self._store_late] * 3, *polls, *streams

    def _post_again(self, client: httpx.Client, rng: random.Random) -> None:
        """Post a tweet twice with the same key, which stores one."""
        time.sleep(rng.random() / 2)
        if not self.leaves_gaps:
            return
        author = rng.randint(1, self.users)
        body = {"userId": author, "message": "hello"}
        key = {"Idempotency-Key": f"{rng.getrandbits(64)}"}
        answers = [client.post("/tweets", json=body, headers=key) for _ in range(2)]
        ids = {int(a.json()["id"]) for a in answers if a.status_code == httpx.codes.CREATED}
        self.oracle.posted.update(dict.fromkeys(ids, author))
        if len(ids) > 1:
            self.oracle.wrongs.append(f"a retry was stored: {ids}")

    def _deletable(self) -> list[int]:
        newest = super()._deletable()
        return newest if self.leaves_gaps else newest[:-50]

    def _store_late(self, client: httpx.Client, rng: random.Random) -> None:
        """Insert a tweet in a transaction that ends later, and perhaps deliver it still later."""
        author = rng.randint(1, self.users)
        with psycopg.connect(self.stack.database_url) as session:
            insert = (
                "INSERT INTO tweets_tweet (author_id, message) VALUES (%s, 'late') RETURNING id"
            )
            [tweet_id] = session.execute(insert, [author]).fetchone() or []
            time.sleep(rng.random() * rng.random() * MOST_LATE_SECONDS)
            if rng.random() < 0.5:
                session.execute(LATE, [rng.random() * MOST_LATE_SECONDS, tweet_id])
            if self.leaves_gaps and rng.random() < 0.2:
                session.rollback()
                return
        self.oracle.posted[tweet_id] = author

    def _poll(self, watch: Watch, client: httpx.Client, rng: random.Random) -> None:
        if not watch.poller.given:
            time.sleep(rng.random() * MOST_PAUSE_SECONDS)
        limit = rng.choice(LIMITS)
        address = httpx.URL(watch.older or watch.poller.address).copy_set_param("limit", limit)
        answer = self._get(client, watch.reader, str(address))
        if answer is None:
            return
        watch.seen |= {int(tweet["id"]) for tweet in answer.json()}
        is_older = watch.older is not None and "max_id" in watch.older
        if not is_older:
            watch.poller.take(answer)
        if watch.older:
            watch.older = answer.links.get("next", {}).get("url")
        elif not answer.json():
            time.sleep(rng.random() * MOST_PAUSE_SECONDS)

    def _stream(self, stream: Streamer, client: httpx.Client, rng: random.Random) -> None:
        """Read a stream for a moment, then perhaps disconnect, in the middle of an event or not."""
        self._read_from(stream, rng.random(), rng.randint(1, MOST_BYTES))
        if rng.random() < 0.03:
            stream.close()
            self.disconnections += 1
            time.sleep(rng.random() * MOST_PAUSE_SECONDS)

    def _read_from(self, stream: Streamer, seconds: float, most_bytes: int = 65_536) -> None:
        try:
            if stream.socket is None:
                stream.open()
            stream.read(seconds, most_bytes)
        except OSError:
            stream.close()
        if stream.status not in (0, httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE):
            self.oracle.wrongs.append(f"{stream.path}: {stream.status}")
        if stream.is_over:
            stream.close()

    def check_streams(self) -> Repetitions:
        """Check, at rest, that each stream's client has seen the same as a poller."""
        for stream, watch in self.streams.items():
            expected = self._expected(watch)
            end = time.monotonic() + AT_REST_SECONDS
            while not expected <= set(stream.given) and time.monotonic() < end:
                self._read_from(stream, 0.1)
            missing = expected - set(stream.given)
            assert not missing, f"stream of {watch.reader}: {sorted(missing)}"
            stream.close()
        return Repetitions(
            sum(stream.given.total() for stream in self.streams),
            sum(stream.repetitions() for stream in self.streams),
        )

    def _expected(self, watch: Watch) -> set[int]:
        """Return the tweets by those whom the reader followed throughout."""
        return {
            tweet_id
            for tweet_id, author in self.stack.sql(TIMELINE, watch.reader)
            if (watch.reader, author) not in self.oracle.changed
        }

    def check_pollers(self) -> Repetitions:
        """Check, at rest, that each poller has seen all tweets by those it followed throughout."""
        assert self.oracle.wrongs == []
        with httpx.Client(base_url=self.stack.address, timeout=30, trust_env=False) as client:
            for watch in self.watches:
                watch.seen.update(watch.poller.poll(client))
                missing = self._expected(watch) - watch.seen
                assert not missing, f"reader {watch.reader}: {sorted(missing)}"
        pollers = [watch.poller for watch in self.watches]
        return Repetitions(
            sum(poller.given.total() for poller in pollers),
            sum(poller.repetitions() for poller in pollers),
        )
