"""Users, follows, tweets and home timelines by the hundred thousand."""

import gc
import random
from collections.abc import Iterable, Sequence
from itertools import count, starmap

from django.db import connection

from benchmarks.sizes import Size
from tests.stack import Stack
from tests.valkey import client
from timelines.lists import changes, store
from timelines.lists.changes import Change
from timelines.lists.entries import Entry
from timelines.lists.keys import list_key, state_key
from users import graph

# Ids as a service of some size has them: three bytes as varints.
FIRST_TWEET, FIRST_AUTHOR = 1_000_000, 500_000
CAP = 800
COPIES_AT_ONCE = 10_000
MOMENTS = 10


def sql(statement: str, *parameters: int) -> None:
    """Run one statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)


def clear(stack: Stack) -> None:
    """Nothing stored, nothing running but the servers, and no garbage to look through."""
    for name in ("workers", "web"):
        if name in stack.children:
            stack.kill(name)
    client(60.0).flushdb()
    sql("TRUNCATE tweets_tweet, timelines_fanout, users_user RESTART IDENTITY CASCADE")
    gc.collect()
    gc.freeze()


def add_follows(edges: Iterable[tuple[int, int]], users: int) -> None:
    """The users 1 to `users`, and follows: (follower, followed)."""
    graph.load(starmap(graph.Edge, edges), users_up_to=users)
    sql("VACUUM ANALYZE users_user, users_follow")


def ordinary_edges(size: Size) -> Iterable[tuple[int, int]]:
    """Followers of the ordinary authors: 75 on average, by a power law (as users.graph has it)."""
    rng = random.Random(1)  # noqa: S311 (repeatable, not secret)
    weights = [rng.paretovariate(2.276 - 1) for _ in size.ordinary_authors]
    scale = 75 * len(weights) / sum(weights)
    for author, weight in zip(size.ordinary_authors, weights, strict=True):
        followers = min(max(1, round(weight * scale)), size.readers)
        for reader in rng.sample(range(1, size.readers + 1), followers):
            yield reader, author


def post(authors: range, total: int) -> None:
    """As many tweets, by the authors in turn, written past Django, so that nobody is woken."""
    sql(
        "INSERT INTO tweets_tweet (author_id, message) "
        "SELECT %s::bigint + i * 7919 %% %s, 'This is tweet number ' || i "
        "FROM generate_series(1::bigint, %s) AS i",
        authors[0],
        len(authors),
        total,
    )


def nothing_pending() -> bool:
    """Whether the outbox is empty."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT NOT EXISTS (SELECT FROM timelines_fanout)")
        return bool((cursor.fetchone() or [False])[0])


def entries(length: int) -> list[Entry]:
    """The newest entries of a home timeline."""
    rng = random.Random(length)  # noqa: S311
    return [
        Entry(FIRST_TWEET + length - place, FIRST_AUTHOR + rng.randrange(100_000))
        for place in range(length)
    ]


def materialise(reader: int, length: int = CAP) -> None:
    """A list of that many entries, with its state, as a rebuild leaves it."""
    store.forget([reader])
    token = store.begin_rebuild(reader)
    assert token
    store.finish_rebuild(reader, token, version=1, floor=0, entries=entries(length))


def materialise_all(readers: range) -> None:
    """Full lists: one is built and pushed to, the others are copies from moments of its life.

    What a push costs depends on how full the block of memory at the list's head is; the moments
    have all kinds of them. Each list has just been tended.
    """
    first, *others = readers
    materialise(first)
    tweet_ids = count(FIRST_TWEET + CAP + 1)
    for moment in range(MOMENTS):
        while True:
            changes.apply([Change(Entry(next(tweet_ids), FIRST_AUTHOR), [first])])
            if client().llen(list_key(first)) == CAP + 1:
                break
        for key in (list_key, state_key):
            copy_key(key(first), [key(reader) for reader in others[moment::MOMENTS]])


def copy_key(source: str, names: Sequence[str]) -> None:
    """Copies of one key."""
    for first in range(0, len(names), COPIES_AT_ONCE):
        with client(60.0).pipeline(transaction=False) as pipeline:
            for name in names[first : first + COPIES_AT_ONCE]:
                pipeline.execute_command("COPY", source, name, "REPLACE")
            pipeline.execute()
