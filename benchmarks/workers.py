"""One tweet to very many followers, by one, two and three worker processes."""

import time
from statistics import median

from rich.progress import track

from benchmarks import rig, world
from benchmarks.deliveries import until_delivered
from benchmarks.report import Result, counted
from benchmarks.sizes import Size
from tests.stack import Stack
from tests.valkey import client
from timelines.lists.store import list_key
from tweets.posting import post

AUTHOR = 1
WORKERS = (1, 2, 3)
SAMPLED = 41  # lists, evenly spread over the followers


def prepare(stack: Stack, size: Size) -> None:
    """Create one author and the followers, each with a list of one entry."""
    world.clear(stack)
    followers = followers_of(size)
    world.add_follows(((reader, AUTHOR) for reader in followers), users=followers[-1])
    first, *others = followers
    world.materialise(first, length=1)
    world.copy(first, others)


def followers_of(size: Size) -> range:
    """Return the followers' ids."""
    return range(AUTHOR + 1, AUTHOR + 1 + size.big_followers)


def by_number(stack: Stack, size: Size) -> list[Result]:
    """Measure when the first, the median and the last of the sampled lists have a tweet."""
    followers = followers_of(size)
    keys = [list_key(reader) for reader in followers[:: len(followers) // (SAMPLED - 1)]]
    taken: dict[int, list[list[float]]] = {number: [] for number in WORKERS}
    turns = [number for _ in range(size.rounds) for number in WORKERS]
    for number in track(turns, "workers".ljust(32)):
        rig.start_workers(stack, number)
        post(author_id=AUTHOR, message="to warm up")
        until_delivered(time.perf_counter())
        taken[number].append(arrivals(keys))
        stack.kill("workers")
    return [
        Result(
            f"Fan-out to {size.big_followers:,} followers by number of workers",
            "milliseconds",
            {
                f"{counted(number, 'worker')}, until the {which} list has the tweet": 1000
                * median(run[place] for run in taken[number])
                for number in WORKERS
                for which, place in (("first", 0), ("median", len(keys) // 2), ("last", -1))
            },
            remark=f"{len(keys)} lists are sampled. Long before its list has the tweet, a reader's "
            "page shows it: see tests/faults/test_fairness.py.",
        )
    ]


def arrivals(keys: list[str]) -> list[float]:
    """Post a tweet. Return the seconds until each of the lists has it, ascending."""
    with client().pipeline(transaction=False) as pipeline:

        def lengths() -> list[int]:
            for key in keys:
                pipeline.llen(key)
            return list(pipeline.execute())

        before = lengths()
        started = time.perf_counter()
        post(author_id=AUTHOR, message="to all of you")
        arrived: dict[int, float] = {}
        while len(arrived) < len(keys):
            for place, length in enumerate(lengths()):
                if length > before[place]:
                    arrived.setdefault(place, time.perf_counter() - started)
            time.sleep(0.002)
    until_delivered(started)
    return sorted(arrived.values())


PARTS = ((prepare, by_number),)
