"""How much data the benchmarks create, and how long they measure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Readers have the ids from 1. The authors' ids follow."""

    readers: int = 150_000
    authors: int = 10_000  # of the pages
    peers_readers: int = 10_000  # of the replays
    ordinary_tweets: int = 5_000
    big_followers: int = 1_000_000
    tweets: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    follows: tuple[int, ...] = (30, 300, 3_000)
    nodes: tuple[int, ...] = (1, 2, 3)  # of a cluster; 1 is a single server
    streams: int = 2_000
    rounds: int = 5
    calls: int = 60  # of each contender in a round
    different_pages: int = 50_000
    load_seconds: float = 2.0

    @property
    def big_author(self) -> int:
        """The id of the author whom every reader follows."""
        return self.readers + 1

    @property
    def ordinary_authors(self) -> range:
        """The ids of the authors with 75 followers on average."""
        return range(self.readers + 2, self.readers + 2 + self.ordinary_tweets)


FULL = Size()
QUICK = Size(
    readers=2_000,
    authors=1_000,
    peers_readers=100,
    ordinary_tweets=50,
    big_followers=40_000,
    tweets=(4_000, 8_000),
    follows=(30, 300),
    nodes=(2,),
    streams=50,
    rounds=1,
    calls=3,
    different_pages=40,
    load_seconds=0.3,
)
