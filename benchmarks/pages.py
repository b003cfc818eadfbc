"""Reads and posts: in process, over HTTP, and how a page's cost grows."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from statistics import median

from knox.models import AuthToken

from benchmarks import load, measure, rig, world
from benchmarks.reference import SEED_TABLES
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from tests.stack import Stack
from timelines.reading.rebuild import rebuild
from tweets.models import Tweet
from users.models import User

READERS_OF_A_KIND = 10  # that follow equally many accounts
READER, AUTHORS = 1, 10_000
KNOWN = "Twit, by token and counted"


def prepare(stack: Stack, size: Size) -> None:
    """Readers who follow few, many and very many of the authors; no tweets yet, no lists."""
    world.clear(stack)
    world.add_follows(edges(size), users=first_author(size) + AUTHORS + size.readers)


def edges(size: Size) -> Iterator[tuple[int, int]]:
    """Who follows whom: the readers, and others, so that every author has some 75 followers."""
    first = first_author(size)
    for follows in size.follows:
        for reader in readers_of(size, follows):
            for place in range(follows):
                yield reader, first + (37 * reader + place) % AUTHORS
    for place in range(AUTHORS):
        for number in range(75):
            yield first + AUTHORS + (75 * place + number) % size.readers, first + place


def readers_of(size: Size, follows: int) -> range:
    """The readers who follow that many accounts."""
    kind = size.follows.index(follows)
    return range(1 + kind * READERS_OF_A_KIND, 1 + (kind + 1) * READERS_OF_A_KIND)


def first_author(size: Size) -> int:
    """The first of the authors' ids."""
    return 1 + len(size.follows) * READERS_OF_A_KIND


def tweets(size: Size, total: int) -> None:
    """As many tweets, by all authors in turn, and lists of the readers."""
    authors = range(first_author(size), first_author(size) + AUTHORS)
    world.post(authors, total - Tweet.objects.count())
    world.sql("TRUNCATE timelines_fanout")
    world.sql("VACUUM ANALYZE tweets_tweet")
    for follows in size.follows:
        for reader in readers_of(size, follows):
            assert rebuild(reader).is_stored


def calls(path: str, readers: Sequence[int]) -> Callable[[], bytes]:
    """A call in process, of each reader's address in turn."""
    turns = cycle([load.Call("GET", path.format(reader)) for reader in readers])
    return lambda: load.in_process(next(turns))


def growth(stack: Stack, size: Size) -> list[Result]:
    """What a page costs by tweets and follows, and a rebuild by follows."""
    pages: dict[str, float] = {}
    empties: list[float] = []
    for total in size.tweets:
        tweets(size, total)
        contenders: dict[str, Callable[[], object]] = {
            f"{total:,} tweets, {follows:,} follows": calls(
                "/tweets/followed/{}", readers_of(size, follows)
            )
            for follows in size.follows
        }
        contenders["empty"] = partial(load.in_process, load.Call("GET", "/empty"))
        title = f"growth of a page, {total:,}"
        series = measure.call_by_call(title, contenders, size.rounds, size.calls)
        # In empty views of the same run: the machine's mood is not growth.
        pages |= {name: series.ratio(name, "empty") for name in series if name != "empty"}
        empties.append(series.median("empty"))
    rebuilds = measure.call_by_call(
        "growth of a rebuild",
        {
            f"{follows:,} follows": partial(rebuild, readers_of(size, follows)[0])
            for follows in size.follows
        },
        size.rounds,
        size.calls // 4 + 1,
    )
    return [
        Result(
            "A page by tweets and follows",
            "times an empty view",
            pages,
            [
                Target(
                    "dearest over cheapest", max(pages.values()) / min(pages.values()), at_most=1.3
                )
            ],
            f"20 tweets, in process; the empty view takes {1e6 * median(empties):.0f} us.",
        ),
        Result(
            "A rebuild by follows",
            "milliseconds",
            {name: 1000 * rebuilds.median(name) for name in rebuilds},
            remark=f"{size.tweets[-1]:,} tweets by {AUTHORS:,} authors.",
        ),
    ]


def read(stack: Stack, size: Size) -> list[Result]:
    """A page of 20 beside other ways to answer it."""
    tweets(size, size.tweets[-1])
    world.sql(SEED_TABLES)
    world.sql("VACUUM ANALYZE seed_tweet, seed_follower, seed_user")
    readers = readers_of(size, size.follows[1])  # full lists
    names = {
        "Twit": "/tweets/followed/{}",
        "an empty DRF view": "/empty",
        "textbook serializer, ids given": "/textbook/{}",
        "Postgres alone, best query": "/pull/{}",
    }
    contenders: dict[str, Callable[[], object]] = {
        name: calls(path, readers) for name, path in names.items()
    }
    _, token = AuthToken.objects.create(User.objects.get(pk=readers[0]))
    known = load.Call("GET", f"/known/{readers[0]}", token=token)
    contenders[KNOWN] = partial(load.in_process, known)
    inside = measure.call_by_call("read, in process", contenders, size.rounds, size.calls)
    seed = {"Twit": contenders["Twit"], "the seed's join": calls("/seed/{}", readers)}
    seeds = measure.call_by_call("read, the seed's join", seed, size.rounds, 2)
    address = rig.start_web(stack)
    outside = measure.in_rounds(
        "read, over HTTP",
        {
            name: partial(
                load.seconds_a_request,
                address,
                [load.Call("GET", path.format(reader)) for reader in readers],
                seconds=size.load_seconds,
            )
            for name, path in names.items()
        },
        size.rounds,
    )
    return [
        Result(
            "A page of 20, in process",
            "microseconds",
            {name: 1e6 * inside.median(name) for name in contenders}
            | {"the seed's join, all tweets": 1e6 * seeds.median("the seed's join")},
            [
                Target(
                    "Twit over the empty view", inside.ratio("Twit", "an empty DRF view"), at_most=4
                ),
                Target(
                    "textbook serializer over Twit",
                    inside.ratio("textbook serializer, ids given", "Twit"),
                    at_least=2.5,
                ),
                Target(
                    "the seed's join over Twit", seeds.ratio("the seed's join", "Twit"), at_least=50
                ),
            ],
            f"{size.tweets[-1]:,} tweets, {size.follows[1]} follows, lists of 800; the whole "
            "WSGI application, calls one by one in turn.",
        ),
        Result(
            "A page of 20, over HTTP",
            "requests a second",
            {name: 1 / outside.median(name) for name in names},
            [
                Target(
                    "Twit, of the empty view",
                    outside.ratio("an empty DRF view", "Twit"),
                    at_least=0.35,
                )
            ],
            "granian, 2 processes; 8 clients on the same cores.",
        ),
    ]


def post(stack: Stack, size: Size) -> list[Result]:
    """A POST beside a view that parses the same body."""
    body = json.dumps({"userId": str(READER), "message": "What a POST costs."}).encode()
    names = {"Twit": "/tweets", "an empty DRF view that parses the body": "/empty"}
    requests = {name: load.Call("POST", path, body) for name, path in names.items()}
    inside = measure.call_by_call(
        "post, in process",
        {name: partial(load.in_process, call) for name, call in requests.items()}
        | {"a page": partial(load.in_process, load.Call("GET", f"/tweets/followed/{READER}"))},
        size.rounds,
        size.calls,
    )
    rig.start_workers(stack)
    address = rig.start_web(stack)
    outside = measure.in_rounds(
        "post, over HTTP",
        {
            name: partial(load.seconds_a_request, address, [call], seconds=size.load_seconds)
            for name, call in requests.items()
        },
        size.rounds,
    )
    empty = "an empty DRF view that parses the body"
    return [
        Result(
            "A POST, in process",
            "microseconds",
            {name: 1e6 * inside.median(name) for name in names},
            [Target("Twit over the empty view", inside.ratio("Twit", empty), at_most=4)],
            "Committed to a durable Postgres; pages are read in between.",
        ),
        Result(
            "A POST, over HTTP",
            "requests a second",
            {name: 1 / outside.median(name) for name in names},
            remark="granian, 2 processes; 8 clients and 2 workers on the same cores.",
        ),
    ]


PARTS = ((prepare, growth), (prepare, read), (prepare, post))
