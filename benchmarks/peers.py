"""Replays of the commands that other projects send to Redis to deliver one tweet.

The commands come from each project's source. All replays use redis-py. A replay measures what a way
to write costs. It is never the project's own throughput.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence

from benchmarks import world
from tests.valkey import client
from timelines.lists.entries import Entry

RNG = random.Random(1)  # noqa: S311 (repeatable, not secret)
CLIENT_SECONDS = 60.0


class Peer(ABC):
    """How one project stores feeds, of `cap` entries each, and delivers a post to them."""

    cap: int
    first_reader = 0  # added to readers' ids where two projects would use the same keys

    def __init__(self) -> None:
        self.redis = client(CLIENT_SECONDS)

    @abstractmethod
    def key(self, reader: int) -> str:
        """Return the key of that reader's feed."""

    @abstractmethod
    def deliver(self, readers: Sequence[int], post: int) -> None:
        """Send the commands that deliver the post to the readers' feeds."""

    def fill(self, readers: Sequence[int]) -> None:
        """Create the readers' feeds, filled to the project's cap: copies of one feed."""
        template = f"template:{type(self).__name__}"
        self.make(template, range(world.FIRST_TWEET, world.FIRST_TWEET + self.cap))
        world.copy_key(template, [self.key(reader) for reader in readers])

    def make(self, key: str, posts: Sequence[int]) -> None:
        """Create a feed of those posts under that key, by default a sorted set."""
        self.redis.zadd(key, {str(post): post for post in posts})


class Seed(Peer):
    """Lists of protobufs, with the user id as key. Never trimmed. One round trip per follower."""

    cap = 800

    def key(self, reader: int) -> str:
        return str(reader)

    def make(self, key: str, posts: Sequence[int]) -> None:
        self.redis.lpush(key, *(Entry(post, world.FIRST_AUTHOR).encode() for post in posts))

    def deliver(self, readers: Sequence[int], post: int) -> None:
        entry = Entry(post, world.FIRST_AUTHOR).encode()
        for reader in readers:
            self.redis.lpush(self.key(reader), entry)


class StreamFramework(Peer):
    """Sorted sets of 100. One round trip per follower, and a trim after a random 1% of writes."""

    cap = 100

    def key(self, reader: int) -> str:
        return f"feed_{reader}"

    def deliver(self, readers: Sequence[int], post: int) -> None:
        self.redis.hset(f"global:{post % 100}", mapping={str(post): "1,1,1,1,0,1384514400"})
        self.redis.zadd("feed_user", {str(post): post})
        for reader in readers:
            self.redis.zadd(self.key(reader), {str(post): post})
            if RNG.random() < 0.01:  # noqa: PLR2004 (the project's own trim chance)
                self.redis.zremrangebyrank(self.key(reader), 0, -(self.cap + 1))


class Mastodon(Peer):
    """Sorted sets of 800. One job per follower, which makes six round trips."""

    cap = 800

    def key(self, reader: int) -> str:
        return f"feed:home:{reader}"

    def deliver(self, readers: Sequence[int], post: int) -> None:
        for reader in readers:
            key = self.key(reader)
            self.redis.zscore(f"{key}:reblogs", str(post))
            self.redis.zadd(key, {str(post): post})
            self.redis.zremrangebyrank(key, 0, -(self.cap + 1))
            [(_, score)] = self.redis.zrevrange(key, 80, 80, withscores=True)  # type: ignore[str-unpack]
            self.redis.zrangebyscore(f"{key}:reblogs", 0, score)
            self.redis.exists(f"subscribed:timeline:{reader}")


class Misskey(Peer):
    """Lists of 300. One pipeline for all followers, and a trim after a random 10% of writes."""

    cap = 300

    def key(self, reader: int) -> str:
        return f"list:homeTimeline:{reader}"

    def make(self, key: str, posts: Sequence[int]) -> None:
        self.redis.lpush(key, *posts)

    def deliver(self, readers: Sequence[int], post: int) -> None:
        with self.redis.pipeline(transaction=False) as pipeline:
            for reader in readers:
                pipeline.lpush(self.key(reader), post)
                if RNG.random() < 0.1:  # noqa: PLR2004 (the project's own trim chance)
                    pipeline.ltrim(self.key(reader), 0, self.cap - 1)
            pipeline.execute()


class BookWyrm(Peer):
    """Sorted sets of 199, each with two counters. One transaction for all followers."""

    cap = 199

    def key(self, reader: int) -> str:
        return f"{reader}-home"

    def deliver(self, readers: Sequence[int], post: int) -> None:
        with self.redis.pipeline(transaction=True) as pipeline:
            for reader in readers:
                key = self.key(reader)
                pipeline.zadd(key, {str(post): 1_700_000_000 + post})
                pipeline.zremrangebyrank(key, 0, -(self.cap + 1))
                pipeline.incrby(f"{key}-unread", 1)
                pipeline.hincrby(f"{key}-unread-by-type", "t", 1)
            pipeline.execute()


class DeathStarBench(Peer):
    """Sorted sets, with the user id as key. Never trimmed. One pipeline for all followers."""

    cap = 800
    first_reader = 10_000_000  # the seed uses user ids as keys, too

    def key(self, reader: int) -> str:
        return str(self.first_reader + reader)

    def deliver(self, readers: Sequence[int], post: int) -> None:
        with self.redis.pipeline(transaction=False) as pipeline:
            for reader in readers:
                pipeline.zadd(self.key(reader), {str(post): 1_700_000_000_000 + post}, nx=True)
            pipeline.execute()


def all_peers() -> dict[str, Peer]:
    """Return a replay of each project, by the project's name."""
    return {
        "the seed": Seed(),
        "Stream-Framework": StreamFramework(),
        "Mastodon": Mastodon(),
        "Misskey": Misskey(),
        "BookWyrm": BookWyrm(),
        "DeathStarBench": DeathStarBench(),
    }
