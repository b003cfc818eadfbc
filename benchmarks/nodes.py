"""One tweet to many followers, whose lists are on one server or on the nodes of a cluster."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from django.conf import settings
from django.test import override_settings

from benchmarks import load, measure, rig, world
from benchmarks.deliveries import until_delivered
from benchmarks.report import Result, Target, counted
from benchmarks.sizes import Size
from tests.stack import Stack
from tests.timelines.lists import admit
from tests.valkey import client
from tests.valkeys import PASSWORD, Valkeys
from timelines.delivery import rounds
from timelines.lists.entries import Entry
from timelines.lists.layout import layout
from timelines.lists.packing import Change
from tweets.posting import post

PAGE = 20

Share = tuple[str, Sequence[int]]  # the address of a server, "" for a single one, and its readers


def prepare(stack: Stack, size: Size) -> None:
    """Create an author whom all readers follow."""
    world.clear(stack)
    readers = range(1, size.readers + 1)
    world.add_follows(((reader, size.big_author) for reader in readers), users=size.big_author)


def by_number(stack: Stack, size: Size) -> list[Result]:
    """Compare Twit with the ceiling on each number of nodes, with as many worker processes."""
    figures: dict[str, float] = {}
    targets = []
    for number in size.nodes:
        with timelines_on(number) as shares:
            taken = measured(stack, size, number, shares)
        for name, seconds in taken.items():
            figures[f"{name}, {counted(number, 'node')}"] = size.readers / median(seconds)
        ratio = taken.ratio("the ceiling", "Twit")
        at_least = 0.75 if number == 1 else 0.65
        targets.append(
            Target(f"Twit over the ceiling, {counted(number, 'node')}", ratio, at_least=at_least)
        )
    return [
        Result(
            "Fan-out by number of nodes",
            "deliveries per second",
            figures,
            targets,
            f"{size.readers:,} followers, as many worker processes as nodes, and for the ceiling "
            "as many clients. Nodes, workers and Postgres share this machine's processors.",
        )
    ]


def measured(stack: Stack, size: Size, number: int, shares: Sequence[Share]) -> measure.Series:
    """Return the seconds of one tweet's fan-out, and of pushing its entry without Twit."""
    ceiling = load.Ceiling([(_url(address), ids) for address, ids in shares])

    def twit() -> float:
        started = time.perf_counter()
        post(author_id=size.big_author, message="to all of you")
        return until_delivered(started)

    rig.start_workers(stack, number, REDIS_URL=settings.REDIS_URL)
    contenders = {"Twit": twit, "the ceiling": ceiling.seconds}
    series = measure.in_rounds(counted(number, "node"), contenders, 2 * size.rounds)
    stack.kill("workers")
    return series


def processor(stack: Stack, size: Size) -> list[Result]:
    """Compare a worker's processor time per delivery on each number of nodes."""
    with ExitStack() as clusters:
        urls = {
            number: settings.REDIS_URL if number == 1 else clusters.enter_context(cluster(number))
            for number in size.nodes
        }
        contenders = {
            f"a worker with {counted(number, 'node')}": partial(_worker_seconds, url, size)
            for number, url in urls.items()
        }
        series = measure.in_rounds("a worker's processor time", contenders, 2 * size.rounds)
    single, *others = series
    targets = [
        Target(f"{name} over {single}", series.ratio(name, single), at_most=1.25) for name in others
    ]
    return [
        Result(
            "Processor time of a delivery by number of nodes",
            "microseconds",
            {name: 1e6 * series.median(name) for name in series},
            targets,
            "One worker. The followers have no lists, so that the nodes take less of the "
            "processors' time and caches.",
        )
    ]


def _worker_seconds(url: str, size: Size) -> float:
    author = range(size.big_author, size.big_author + 1)
    with override_settings(REDIS_URL=url):
        admit()
        for _ in range(2):  # the first time, connections are opened
            world.post(author, 1)
            started = time.process_time()
            rounds.drain(600.0)
            taken = time.process_time() - started
    return taken / size.readers


def pages(stack: Stack, size: Size) -> list[Result]:
    """Compare a page whose list is on a single server with one whose list is on a cluster."""
    world.post(range(size.big_author, size.big_author + 1), 2 * PAGE)
    with cluster(size.nodes[-1]) as url:
        contenders = {
            "one server": partial(page_seconds, settings.REDIS_URL, size),
            f"a cluster of {size.nodes[-1]}": partial(page_seconds, url, size),
        }
        series = measure.in_rounds("pages by number of nodes", contenders, 2 * size.rounds)
    return [
        Result(
            f"A page of {PAGE} by number of nodes",
            "milliseconds",
            {name: 1000 * series.median(name) for name in series},
            remark="In process.",
        )
    ]


def page_seconds(url: str, size: Size) -> float:
    """Return the median seconds of a reader's page, with the timelines on these servers."""
    call = load.Call("GET", "/tweets/followed/1")
    with override_settings(REDIS_URL=url):
        admit()
        load.in_process(call)  # rebuilds the list
        taken = []
        for _ in range(size.calls):
            started = time.perf_counter()
            load.in_process(call)
            taken.append(time.perf_counter() - started)
    return median(taken)


@contextmanager
def cluster(number: int) -> Iterator[str]:
    """Start a cluster with that many primaries, and yield its URL."""
    with TemporaryDirectory() as folder:
        valkeys = Valkeys(Path(folder), number)
        yield valkeys.url
        valkeys.stop()


@contextmanager
def timelines_on(number: int) -> Iterator[list[Share]]:
    """Start a cluster, or use the single server, and fill it. Yield each node with its readers."""
    with ExitStack() as cleanup:
        if number > 1:
            url = cleanup.enter_context(cluster(number))
            cleanup.enter_context(override_settings(REDIS_URL=url))
        admit()
        readers = range(1, world.number("SELECT max(followed_id) FROM users_follow"))
        world.materialise_all(readers)
        found = layout(world.admissions())
        shares = found.divide(Change(Entry(1, 1), readers))
        yield [
            (server.address, [int(tag) for tag in tags])
            for server, tags in zip(found.slots, shares, strict=True)
        ]
        if number == 1:
            client(60.0).flushdb()  # the clusters need the memory


def _url(address: str) -> str:
    return f"redis://:{PASSWORD}@{address}" if address else settings.REDIS_URL


PARTS = ((prepare, by_number), (prepare, processor), (prepare, pages))
