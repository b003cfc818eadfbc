"""Streams: when tweets arrive at clients, what a stream costs, and what streams cost fan-out."""

import random
import threading
import time
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from statistics import median

from rich.progress import track

from backends.address import Address
from backends.tracking import Tracking
from benchmarks import load, measure, rig, world
from benchmarks.deliveries import until_delivered
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from benchmarks.stream_clients import Clients
from tests.stack import Stack, wait_until
from timelines.lists.store import list_key
from timelines.reading.rebuild import rebuild
from tweets.posting import post

PROCESSES = 2  # of the web server
ONLINE = 10  # one reader in this many has a stream


def prepare(stack: Stack, size: Size) -> None:
    """Create readers with full lists. One in ONLINE has a stream.

    All of them follow the big author. Of those who have a stream, a tenth follows each of the other
    authors.
    """
    world.clear(stack)
    readers = range(1, ONLINE * size.streams + 1)
    big = ((reader, size.big_author) for reader in readers)
    having = readers[::ONLINE]
    ordinary = (
        (reader, author)
        for place, author in enumerate(authors(size))
        for reader in having[place::ONLINE]
    )
    world.add_follows(chain(big, ordinary), users=size.ordinary_authors[-1])
    world.materialise_all(readers)
    for reader in having:
        rebuild(reader)
    # New tweets have higher ids than those in the lists.
    world.sql(f"ALTER SEQUENCE tweets_tweet_id_seq RESTART WITH {2 * world.FIRST_TWEET}")
    rig.start_workers(stack)
    rig.start_web(stack)


def authors(size: Size) -> range:
    """Return the authors whom a tenth of the readers with a stream follow."""
    return size.ordinary_authors[:ONLINE]


def streaming(size: Size) -> range:
    """Return the readers who have a stream."""
    return range(1, ONLINE * size.streams + 1)[::ONLINE]


def in_lists(stack: Stack, readers: Iterable[int]) -> tuple[Tracking, set[bytes]]:
    """Return a connection that tells when these readers' lists change, and their keys."""
    watch = Tracking(Address.parse(stack.env["REDIS_URL"]), 10.0)
    keys = {list_key(reader).encode() for reader in readers}
    watch.ask(*(("LINDEX", key, 0) for key in keys))
    return watch, keys


def arrival(stack: Stack, size: Size) -> list[Result]:
    """Compare when tweets arrive in lists and at clients, while a tenth of the streams get one."""
    readers = streaming(size)
    before = memory_bytes(stack)
    clients = Clients(stack.address, readers)
    time.sleep(2)
    memory = (memory_bytes(stack) - before) / len(readers)
    listed, streamed = [], []
    for number in track(range(size.rounds * 4), "streams".ljust(32)):
        author = authors(size)[number % ONLINE]
        followers = readers[number % ONLINE :: ONLINE]
        watch, keys = in_lists(stack, followers[::10])
        started = time.monotonic()
        post(author_id=author, message="Has it arrived?")
        times = []
        while keys:
            [*watch.replies(0)]
            watch.listen()
            if changed := keys.intersection(watch.take_changed() or []):
                times += [time.monotonic() - started] * len(changed)
                keys -= changed
            time.sleep(0.0005)
        watch.close()
        found = [at - started for at in clients.arrivals(len(followers))]
        assert len(found) == len(followers), (len(found), len(followers))
        listed.append(median(times))
        streamed.append(median(found))
        wait_until(world.nothing_pending)
        time.sleep(0.1)
    clients.stop()
    in_list, at_client = 1000 * median(listed), 1000 * median(streamed)
    return [
        Result(
            "Arrival at streams",
            "milliseconds",
            {
                "until the tweet is in a list, median": in_list,
                "until it is at a client, median": at_client,
            },
            [
                Target(
                    "arrival at a client over 1.5 times the arrival in a list and 20 ms",
                    at_client / (1.5 * in_list + 20),
                    at_most=1,
                )
            ],
            f"{len(readers):,} streams, {PROCESSES} web processes. Each tweet goes to "
            f"{len(readers) // ONLINE:,} of them.",
        ),
        Result("Memory of a stream", "bytes", {"an idle stream": memory}),
    ]


def memory_bytes(stack: Stack) -> int:
    """Return the resident memory of the web server's processes."""
    group = stack.children["web"].process.pid
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                total += int(fields[21]) * 4096
        except FileNotFoundError:
            continue
    return total


def fan_out(stack: Stack, size: Size) -> list[Result]:
    """Compare the fan-out of a big account's tweet with and without streams."""
    readers, clients = streaming(size), None
    total = ONLINE * size.streams

    def deliver() -> float:
        started = time.perf_counter()
        post(author_id=size.big_author, message="to all of you")
        taken = until_delivered(started)
        if clients:
            clients.arrivals(len(readers))
        time.sleep(0.3)
        return taken / total

    def without() -> float:
        return median(deliver() for _ in range(5))

    def beside_streams() -> float:
        nonlocal clients
        clients = Clients(stack.address, readers)
        try:
            return median(deliver() for _ in range(5))
        finally:
            clients.stop()
            clients = None
            time.sleep(1)

    series = measure.in_rounds(
        "fan-out with streams",
        {"without streams": without, "with streams": beside_streams},
        size.rounds,
    )
    return [
        Result(
            "Fan-out with streams",
            "deliveries per second",
            {name: 1 / series.median(name) for name in series},
            [
                Target(
                    "with streams over without",
                    series.ratio("without streams", "with streams"),
                    at_least=0.9,
                )
            ],
            f"{total:,} followers, of whom {len(readers):,} have a stream. "
            "From the commit until the outbox is empty.",
        )
    ]


def pages(stack: Stack, size: Size) -> list[Result]:
    """Compare the pages of processes without streams, with idle streams, and with busy ones."""
    calls = [load.Call("GET", f"/tweets/followed/{reader}") for reader in streaming(size)[::7]]

    def taken() -> float:
        return load.seconds_a_request(stack.address, calls, seconds=size.load_seconds)

    def beside(do: Callable[[], None]) -> float:
        clients, stops = Clients(stack.address, streaming(size)), threading.Event()
        worker = threading.Thread(target=_until, args=(stops, do))
        worker.start()
        try:
            return taken()
        finally:
            stops.set()
            worker.join()
            clients.stop()
            time.sleep(1)

    def nothing() -> None:
        time.sleep(0.1)

    def tweet() -> None:
        post(author_id=random.choice(authors(size)), message="hello")  # noqa: S311
        time.sleep(0.5)

    series = measure.in_rounds(
        "pages with streams",
        {
            "without streams": taken,
            "with idle streams": lambda: beside(nothing),
            "with busy streams": lambda: beside(tweet),
        },
        size.rounds,
    )
    return [
        Result(
            "Pages beside streams",
            "pages per second",
            {name: 1 / series.median(name) for name in series},
            [
                Target(
                    "with idle streams over without",
                    series.ratio("without streams", "with idle streams"),
                    at_least=0.9,
                )
            ],
            f"{size.streams:,} streams in {PROCESSES} web processes. Busy: two tweets a second, "
            f"each to {size.streams // ONLINE:,} streams.",
        )
    ]


def _until(stops: threading.Event, do: Callable[[], None]) -> None:
    while not stops.is_set():
        do()


PARTS = ((prepare, arrival), (prepare, fan_out), (prepare, pages))
