"""Reads, in process and over HTTP."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle

from knox.models import AuthToken
from rest_framework.authtoken.models import Token

from api.cursors import Cursor
from benchmarks import load, measure, rig, world
from benchmarks.reference import SEED_TABLES
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from tests.stack import Stack
from timelines.reading.rebuild import rebuild
from tweets.models import Tweet
from users.models import User

READERS_OF_A_KIND = 10  # they follow equally many accounts
FOLLOWERS = 75  # of each author; they read nothing
TWIT = "Twit"
EMPTY = "an empty DRF view"
SPARED = "an empty DRF view, spared what is for people"
TEXTBOOK = "textbook serializer, ids given"
CLOSED_TEXTBOOK = "textbook serializer, with DRF's own token and rate limit"
CLOSED = "Twit, with token and rate limit"
NOTHING_NEW = "Twit, coming back for nothing"
UNCHANGED = "Twit, 304"


def prepare(stack: Stack, size: Size) -> None:
    """Create authors, and readers who follow few, many and very many of them. No tweets yet."""
    world.clear(stack)
    world.add_follows(edges(size), users=first_author(size) + size.authors + size.readers)
    world.admissions()  # without workers nobody else admits the server


def edges(size: Size) -> Iterator[tuple[int, int]]:
    """Yield (follower, author): the readers' follows, and other followers of each author."""
    first = first_author(size)
    for follows in size.follows:
        for reader in readers_of(size, follows):
            for place in range(follows):
                yield reader, first + (37 * reader + place) % size.authors
    for place in range(size.authors):
        for number in range(FOLLOWERS):
            yield first + size.authors + (FOLLOWERS * place + number) % size.readers, first + place


def readers_of(size: Size, follows: int) -> range:
    """Return the ids of the readers who follow that many accounts."""
    kind = size.follows.index(follows)
    return range(1 + kind * READERS_OF_A_KIND, 1 + (kind + 1) * READERS_OF_A_KIND)


def first_author(size: Size) -> int:
    """Return the lowest id of an author."""
    return 1 + len(size.follows) * READERS_OF_A_KIND


def tweets(size: Size, total: int) -> None:
    """Add tweets, by all authors in turn, up to `total`, and rebuild the readers' lists."""
    authors = range(first_author(size), first_author(size) + size.authors)
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


def contenders(size: Size) -> dict[str, Callable[[], object]]:
    """Return the calls to compare, by name: pages, and what they are compared with."""
    readers = readers_of(size, size.follows[1])  # full lists
    author, newest = first_author(size), Tweet.objects.latest("id").pk
    own = f"/tweets/followed/{readers[0]}"
    user = User.objects.get(pk=readers[0])
    _, secret = AuthToken.objects.create(user)
    known = load.Call("GET", own, headers=load.bearer(secret))
    others = load.bearer(Token.objects.get_or_create(user=user)[0].key)
    textbook = load.Call("GET", f"/textbook/known/{readers[0]}", headers=others)
    etag = load.answer(load.Call("GET", own))[0]["ETag"]
    unchanged = load.Call("GET", own, headers={"HTTP_IF_NONE_MATCH": etag})
    return {
        TWIT: calls("/tweets/followed/{}", readers),
        EMPTY: calls("/empty", readers),
        SPARED: calls("/tweets/empty", readers),
        TEXTBOOK: calls("/textbook/{}", readers),
        "Postgres alone, best query": calls("/pull/{}", readers),
        CLOSED: partial(load.closed, known),
        CLOSED_TEXTBOOK: partial(load.in_process, textbook),
        # A client that has been given everything.
        NOTHING_NEW: calls(f"/tweets/followed/{{}}?after={Cursor(newest)}", readers),
        UNCHANGED: partial(load.in_process, unchanged),
        "Twit, one tweet": calls(f"/tweets/{newest}", readers),
        "Twit, all tweets": calls("/tweets", readers),
        "Twit, a user timeline": calls(f"/tweets/user/{author}", readers),
    }


def read(stack: Stack, size: Size) -> list[Result]:
    """Compare a page of 20 with an empty view and with other ways to serve a page."""
    tweets(size, size.tweets[-1])
    world.sql(SEED_TABLES)
    world.sql("VACUUM ANALYZE seed_tweet, seed_follower, seed_user")
    readers = readers_of(size, size.follows[1])
    inside = measure.call_by_call("read, in process", contenders(size), size.rounds, size.calls)
    seed = {
        TWIT: calls("/tweets/followed/{}", readers),
        "the seed's join": calls("/seed/{}", readers),
    }
    seeds = measure.call_by_call("read, the seed's join", seed, size.rounds, 2)
    return [
        Result(
            "A page of 20, in process",
            "microseconds",
            {name: 1e6 * inside.median(name) for name in inside}
            | {"the seed's join, all tweets": 1e6 * seeds.median("the seed's join")},
            [
                Target(f"{TWIT} over the empty view", inside.ratio(TWIT, EMPTY), at_most=2.1),
                Target(
                    "with token and rate limit, over the empty view",
                    inside.ratio(CLOSED, EMPTY),
                    at_most=2.3,
                ),
                Target(
                    "textbook with DRF's token and rate limit over Twit's",
                    inside.ratio(CLOSED_TEXTBOOK, CLOSED),
                    at_least=3.5,
                ),
                Target("textbook serializer over Twit", inside.ratio(TEXTBOOK, TWIT), at_least=2.5),
                Target("coming back over Twit", inside.ratio(NOTHING_NEW, TWIT), at_most=0.9),
                # 0.8 of 3.3 empty views, which a page took before it skipped some middleware.
                Target(
                    "unchanged over the empty view", inside.ratio(UNCHANGED, EMPTY), at_most=2.6
                ),
                *(
                    Target(f"{name} over Twit", inside.ratio(f"Twit, {name}", TWIT), at_most=1)
                    for name in ("one tweet", "all tweets", "a user timeline")
                ),
                Target(
                    "the seed's join over Twit", seeds.ratio("the seed's join", TWIT), at_least=50
                ),
            ],
            f"{size.tweets[-1]:,} tweets, {size.follows[1]} follows, lists of 800 elements. Each "
            "call goes through the whole WSGI application. The contenders take turns call by call.",
        ),
        *_over_http(stack, size, readers[0]),
    ]


def _over_http(stack: Stack, size: Size, reader: int) -> list[Result]:
    if not shutil.which("wrk"):
        print("A page of 20, over HTTP: skipped, because wrk is not installed.")
        return []
    paths = {
        TWIT: f"/tweets/followed/{reader}",
        EMPTY: "/empty",
        SPARED: "/tweets/empty",
        TEXTBOOK: f"/textbook/{reader}",
        "Twit, one tweet": f"/tweets/{size.tweets[0]}",
    }
    address = rig.start_web(stack)
    outside = measure.in_rounds(
        "read, over HTTP",
        {
            name: partial(load.by_wrk, address, path, seconds=size.load_seconds)
            for name, path in paths.items()
        },
        size.rounds,
    )
    return [
        Result(
            "A page of 20, over HTTP",
            "requests per second",
            {name: 1 / outside.median(name) for name in paths},
            [
                Target(f"{TWIT} over the empty view", outside.ratio(EMPTY, TWIT), at_least=0.55),
                Target(
                    f"{TWIT} over the textbook serializer",
                    outside.ratio(TEXTBOOK, TWIT),
                    at_least=2.5,
                ),
            ],
            "Two web processes. wrk uses 16 connections, on the same cores.",
        )
    ]


PARTS = ((prepare, read),)
