"""Clients that post, delete, follow, unfollow and read, and record the acknowledged changes."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import psycopg

from tests.stack import Stack

PAUSE_SECONDS = 0.01
TICK_SECONDS = 0.05
STALL_SECONDS = 0.2  # a tick that comes later shows that the machine stood still
PAGE = 50
DELIVERED = """
    SELECT tweet.id FROM tweets_tweet AS tweet
    JOIN users_follow AS follow ON follow.followed_id = tweet.author_id
    WHERE follow.follower_id = %s
    AND NOT EXISTS (SELECT FROM timelines_fanout AS row WHERE row.tweet_id = tweet.id)
    ORDER BY 1 DESC LIMIT %s
"""


@dataclass
class Oracle:
    """The changes that the service acknowledged, and the errors that the clients saw."""

    posted: dict[int, int] = field(default_factory=dict)  # by a 201: tweet id -> author id
    to_delete: set[int] = field(default_factory=set)  # requested, acknowledged or not
    deleted: set[int] = field(default_factory=set)  # by a 204
    unfollowed: set[tuple[int, int]] = field(default_factory=set)  # committed; not followed since
    changed: set[tuple[int, int]] = field(default_factory=set)  # follows that began or ended
    wrongs: list[str] = field(default_factory=list)
    longest_seconds: float = 0.0  # of a request, less the time in which the machine stood still
    unavailable: int = 0  # 503 responses
    lock: threading.Lock = field(default_factory=threading.Lock)
    stalls: list[tuple[float, float]] = field(default_factory=list)

    def stalled_seconds(self, began: float, ended: float) -> float:
        """Return how much of that time the machine stood still."""
        return sum(max(0.0, min(ended, end) - max(began, start)) for start, end in self.stalls)


Act = Callable[[httpx.Client, random.Random], None]


class Clients:
    """Threads that send requests to a server. The seed fixes their choices, but not the timing."""

    def __init__(self, stack: Stack, users: int, seed: int = 1) -> None:
        self.stack, self.users, self.seed = stack, users, seed
        self.oracle = Oracle()
        self._over = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[Oracle]:
        """Run the threads during the `with` block."""
        threads = [
            threading.Thread(target=self._watch),
            *(
                threading.Thread(target=self._loop, args=(act, self.seed * 100 + number))
                for number, act in enumerate(self.acts())
            ),
        ]
        for thread in threads:
            thread.start()
        try:
            yield self.oracle
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _watch(self) -> None:
        """Record when this machine stands still: the hosts of CI are shared."""
        before = time.monotonic()
        while not self._over.wait(TICK_SECONDS):
            now = time.monotonic()
            if now - before > STALL_SECONDS:
                self.oracle.stalls.append((before, now))
            before = now

    def acts(self) -> Sequence[Act]:
        """Return what each thread does, again and again."""
        return self._post, self._post, self._delete, self._follow, self._read, self._read

    def _loop(self, act: Act, seed: int) -> None:
        rng = random.Random(seed)
        with httpx.Client(base_url=self.stack.address, timeout=30) as client:
            while not self._over.is_set():
                try:
                    act(client, rng)
                except (httpx.TransportError, psycopg.OperationalError):
                    time.sleep(0.1)  # not acknowledged: the outcome is unknown
                except Exception as error:
                    self.oracle.wrongs.append(repr(error))
                    raise
                time.sleep(PAUSE_SECONDS)

    def _request(
        self, client: httpx.Client, method: str, path: str, **body: object
    ) -> httpx.Response:
        oracle, started = self.oracle, time.monotonic()
        answer = client.request(method, path, json=body or None)
        ended = time.monotonic()
        is_unavailable = answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        if is_unavailable or ended - started > STALL_SECONDS:
            time.sleep(2 * TICK_SECONDS)  # until a stall has been recorded
        stalled = oracle.stalled_seconds(started, ended)
        with oracle.lock:
            oracle.longest_seconds = max(oracle.longest_seconds, ended - started - stalled)
            oracle.unavailable += is_unavailable and not stalled
            if answer.is_server_error and not is_unavailable:
                oracle.wrongs.append(f"{method} {path}: {answer.status_code}")
        return answer

    def _post(self, client: httpx.Client, rng: random.Random) -> None:
        author = rng.randint(1, self.users)
        answer = self._request(client, "POST", "/tweets", userId=author, message="hello")
        if answer.status_code == httpx.codes.CREATED:
            self.oracle.posted[int(answer.json()["id"])] = author

    def _delete(self, client: httpx.Client, rng: random.Random) -> None:
        time.sleep(5 * PAUSE_SECONDS)
        if candidates := self._deletable()[-50:]:
            tweet_id = rng.choice(candidates)
            self.oracle.to_delete.add(tweet_id)
            answer = self._request(client, "DELETE", f"/tweets/{tweet_id}")
            if answer.status_code == httpx.codes.NO_CONTENT:
                self.oracle.deleted.add(tweet_id)

    def _deletable(self) -> list[int]:
        """Return the tweets that nobody has tried to delete, the newest last."""
        return [i for i in list(self.oracle.posted) if i not in self.oracle.to_delete]

    def _follow(self, client: httpx.Client, rng: random.Random) -> None:
        time.sleep(5 * PAUSE_SECONDS)
        edge = (rng.randint(1, self.users), rng.randint(1, self.users))
        if edge[0] == edge[1]:
            return
        self.oracle.changed.add(edge)
        if rng.random() < 0.5:
            self.oracle.unfollowed.discard(edge)
            self.stack.sql(
                "INSERT INTO users_follow (follower_id, followed_id) VALUES (%s, %s) "
                "ON CONFLICT DO NOTHING",
                *edge,
            )
        else:
            self.stack.sql(
                "DELETE FROM users_follow WHERE follower_id = %s AND followed_id = %s", *edge
            )
            self.oracle.unfollowed.add(edge)

    def _read(self, client: httpx.Client, rng: random.Random) -> None:
        reader = rng.randint(1, self.users)
        delivered = self._delivered(reader)
        answer = self._get(client, reader, f"/tweets/followed/{reader}?limit={PAGE}")
        if answer is None:
            return
        ids = [int(tweet["id"]) for tweet in answer.json()]
        delivered &= self._delivered(reader)  # neither deleted nor unfollowed meanwhile
        end = ids[-1] if len(ids) == PAGE else 0
        wrongs = self.oracle.wrongs
        if missing := {tweet_id for tweet_id in delivered - set(ids) if tweet_id > end}:
            wrongs.append(f"reader {reader}: delivered tweets are missing: {missing}")
        if ids != sorted(set(ids), reverse=True):
            wrongs.append(f"reader {reader}: duplicates or wrong order: {ids}")

    def _get(self, client: httpx.Client, reader: int, path: str) -> httpx.Response | None:
        """Return the page, or None without one. It must not show what was deleted or unfollowed."""
        deleted, unfollowed = set(self.oracle.deleted), set(self.oracle.unfollowed)
        answer = self._request(client, "GET", path)
        if answer.status_code != httpx.codes.OK:
            return None
        wrongs = self.oracle.wrongs
        for tweet in answer.json():
            edge = (reader, int(tweet["userId"]))
            if int(tweet["id"]) in deleted:
                wrongs.append(f"reader {reader}: a deleted tweet is shown: {tweet}")
            if edge in unfollowed and edge in self.oracle.unfollowed:
                wrongs.append(f"reader {reader}: the author is unfollowed: {tweet}")
        return answer

    def _delivered(self, reader: int) -> set[int]:
        return {tweet_id for (tweet_id,) in self.stack.sql(DELIVERED, reader, PAGE)}


def compare(stack: Stack, oracle: Oracle, readers: Iterable[int]) -> None:
    """Check at rest that no acknowledged change is lost and that the timelines are correct."""
    assert oracle.wrongs == []
    stored = {tweet_id for (tweet_id,) in stack.sql("SELECT id FROM tweets_tweet")}
    assert set(oracle.posted) - oracle.to_delete <= stored
    assert not oracle.deleted & stored
    with httpx.Client(base_url=stack.address, timeout=30) as client:
        for _ in range(2):  # the second time, every list has been read and rebuilt
            for reader in readers:
                assert _scroll(client, reader) == _query(stack, reader), f"reader {reader}"
    stack.manage("verify_timelines")


def _scroll(client: httpx.Client, reader: int) -> list[int]:
    seen: list[int] = []
    address: str | None = f"/tweets/followed/{reader}?limit=200"
    while address:
        answer = client.get(address).raise_for_status()
        seen += [int(tweet["id"]) for tweet in answer.json()]
        address = answer.links.get("next", {}).get("url")
    return seen


def _query(stack: Stack, reader: int) -> list[int]:
    rows = stack.sql(
        "SELECT tweet.id FROM tweets_tweet AS tweet "
        "JOIN users_follow AS follow ON follow.followed_id = tweet.author_id "
        "WHERE follow.follower_id = %s ORDER BY 1 DESC",
        reader,
    )
    return [tweet_id for (tweet_id,) in rows]
