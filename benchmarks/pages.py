"""Reads and posts, in process and over HTTP."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle

from knox.models import AuthToken

from benchmarks import load, measure, rig, world
from benchmarks.reference import SEED_TABLES
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from tests.stack import Stack
from timelines.reading.rebuild import rebuild
from tweets.models import Tweet
from users.models import User

READERS_OF_A_KIND = 10  # they follow equally many accounts
READER, AUTHORS = 1, 10_000
CLOSED = "Twit, with token and rate limit"


def prepare(stack: Stack, size: Size) -> None:
    """Create authors, and readers who follow few, many and very many of them. No tweets yet."""
    world.clear(stack)
    world.add_follows(edges(size), users=first_author(size) + AUTHORS + size.readers)


def edges(size: Size) -> Iterator[tuple[int, int]]:
    """Yield (follower, author): the readers' follows, and 75 other followers of each author."""
    first = first_author(size)
    for follows in size.follows:
        for reader in readers_of(size, follows):
            for place in range(follows):
                yield reader, first + (37 * reader + place) % AUTHORS
    for place in range(AUTHORS):
        for number in range(75):
            yield first + AUTHORS + (75 * place + number) % size.readers, first + place


def readers_of(size: Size, follows: int) -> range:
    """Return the ids of the readers who follow that many accounts."""
    kind = size.follows.index(follows)
    return range(1 + kind * READERS_OF_A_KIND, 1 + (kind + 1) * READERS_OF_A_KIND)


def first_author(size: Size) -> int:
    """Return the lowest id of an author."""
    return 1 + len(size.follows) * READERS_OF_A_KIND


def tweets(size: Size, total: int) -> None:
    """Add tweets, by all authors in turn, up to `total`, and rebuild the readers' lists."""
    authors = range(first_author(size), first_author(size) + AUTHORS)
    world.post(authors, total - Tweet.objects.count())
    world.sql("TRUNCATE timelines_fanout")
    world.sql("VACUUM ANALYZE tweets_tweet")
    for follows in size.follows:
        for reader in readers_of(size, follows):
            assert rebuild(reader).is_stored


def calls(path: str, readers: Sequence[int]) -> Callable[[], bytes]:
    """Return a function that requests the path in process, for each reader in turn."""
    turns = cycle([load.Call("GET", path.format(reader)) for reader in readers])
    return lambda: load.in_process(next(turns))


def read(stack: Stack, size: Size) -> list[Result]:
    """Compare a page of 20 with an empty view and with other ways to serve a page."""
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
    contenders[CLOSED] = partial(load.in_process, known)
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
            f"{size.tweets[-1]:,} tweets, {size.follows[1]} follows, lists of 800 elements. Each "
            "call goes through the whole WSGI application. The contenders take turns call by call.",
        ),
        Result(
            "A page of 20, over HTTP",
            "requests per second",
            {name: 1 / outside.median(name) for name in names},
            [
                Target(
                    "Twit over the empty view",
                    outside.ratio("an empty DRF view", "Twit"),
                    at_least=0.35,
                )
            ],
            "Two web processes. 8 clients run on the same cores.",
        ),
    ]


def post(stack: Stack, size: Size) -> list[Result]:
    """Compare a POST with an empty view that parses the same body."""
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
            "Each POST commits to a durable Postgres. Reads of a page alternate with the POSTs.",
        ),
        Result(
            "A POST, over HTTP",
            "requests per second",
            {name: 1 / outside.median(name) for name in names},
            remark="Two web processes. 8 clients and 2 workers run on the same cores.",
        ),
    ]


PARTS = ((prepare, read), (prepare, post))
