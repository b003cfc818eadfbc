"""Create users, follows, tweets and home timelines by the hundred thousand."""

import gc
import random
from collections.abc import Iterable, Sequence
from itertools import count, starmap
from typing import cast

from django.db import connection as database

from backends.nodes import nodes
from backends.postgres import binary_cursor
from benchmarks.sizes import Size
from tests.stack import Stack
from tests.valkey import client
from timelines.delivery import admitting
from timelines.lists import admission, changes, store, upkeep
from timelines.lists.admission import Admission
from timelines.lists.entries import Entry
from timelines.lists.layout import layout
from timelines.lists.packing import Change
from timelines.lists.store import list_key, state_key
from users import graph

# The ids are as large as in a service of some size: three bytes each as varints.
FIRST_TWEET, FIRST_AUTHOR = 1_000_000, 500_000
CAP = 800  # entries
COPIES_AT_ONCE = 500  # lists per buffer
MOMENTS = 10  # states of one list that the copies are made from


def sql(statement: str, *parameters: int) -> None:
    """Run one statement in Postgres."""
    with database.cursor() as cursor:
        cursor.execute(statement, parameters or None)


def number(query: str) -> int:
    """Return the one number that the query finds."""
    with database.cursor() as cursor:
        cursor.execute(query)
        return int((cursor.fetchone() or [0])[0])


def clear(stack: Stack) -> None:
    """Stop workers and web server, delete all data, and collect this process's garbage.

    Later collections skip the objects that exist now.
    """
    for name in ("workers", "web"):
        if name in stack.children:
            stack.kill(name)
    client(60.0).flushdb()
    sql("TRUNCATE tweets_tweet, timelines_fanout, users_user RESTART IDENTITY CASCADE")
    gc.collect()
    gc.freeze()


def add_follows(edges: Iterable[tuple[int, int]], users: int) -> None:
    """Create the users 1 to `users` and the follows. An edge is (follower, followed)."""
    graph.load(starmap(graph.Edge, edges), users_up_to=users)
    sql("VACUUM ANALYZE users_user, users_follow")


def ordinary_edges(size: Size) -> Iterable[tuple[int, int]]:
    """Yield (follower, author) for all ordinary authors.

    They have 75 followers on average, distributed by a power law, as in users.graph.
    """
    rng = random.Random(1)  # noqa: S311 (repeatable, not secret)
    weights = [rng.paretovariate(2.276 - 1) for _ in size.ordinary_authors]
    scale = 75 * len(weights) / sum(weights)
    for author, weight in zip(size.ordinary_authors, weights, strict=True):
        followers = min(max(1, round(weight * scale)), size.readers)
        for reader in rng.sample(range(1, size.readers + 1), followers):
            yield reader, author


def post(authors: range, total: int) -> None:
    """Store `total` tweets, by the authors in turn. SQL alone does it, so no worker is woken."""
    sql(
        "INSERT INTO tweets_tweet (author_id, message) "
        "SELECT %s::bigint + i * 7919 %% %s, 'This is tweet number ' || i "
        "FROM generate_series(1::bigint, %s) AS i",
        authors[0],
        len(authors),
        total,
    )


def nothing_pending() -> bool:
    """Return whether the outbox is empty."""
    with database.cursor() as cursor:
        cursor.execute("SELECT NOT EXISTS (SELECT FROM timelines_fanout)")
        return bool((cursor.fetchone() or [False])[0])


def entries(length: int) -> list[Entry]:
    """Return that many entries of a home timeline, newest first."""
    rng = random.Random(length)  # noqa: S311
    return [
        Entry(FIRST_TWEET + length - place, FIRST_AUTHOR + rng.randrange(100_000))
        for place in range(length)
    ]


def materialise(reader: int, length: int = CAP) -> None:
    """Build a list of that many entries, and its state, by the steps of a rebuild."""
    upkeep.forget(reader)
    begun = store.begin_rebuild(reader)
    assert begun
    generation = admissions()[0].generation
    store.finish_rebuild(
        reader, begun.token, version=1, generation=generation, floor=0, entries=entries(length)
    )


def admissions() -> tuple[Admission, ...]:
    """Return the admissions, and admit the servers if nobody has done so."""
    with binary_cursor() as cursor:
        found = admission.current(cursor)
    if not found:
        admitting.sweep()
        return admissions()
    return found


def materialise_all(readers: range) -> None:
    """Build a full list for each reader: one list that grows, and copies of it at ten moments.

    The cost of a push depends on how full the block of memory at the list's head is. The copies
    cover different levels. Each moment is just after the list was tended.
    """
    first, *others = readers
    materialise(first)
    tweet_ids = count(FIRST_TWEET + CAP + 1)
    for moment in range(MOMENTS):
        while True:
            changes.apply([Change(Entry(next(tweet_ids), FIRST_AUTHOR), [first])], admissions())
            with nodes().connection(store.slot(first)) as connection:
                if connection.ask(("LLEN", list_key(first))) == [CAP + 1]:
                    break
        copy(first, others[moment::MOMENTS])


def copy(source: int, readers: Sequence[int]) -> None:
    """Give the readers copies of the source's list and state, on whichever server they belong."""
    keys = list_key, state_key
    with nodes().connection(store.slot(source)) as connection:
        dumps = cast("list[bytes]", connection.ask(*(("DUMP", key(source)) for key in keys)))
    found = layout(admissions())
    shares = found.divide(Change(Entry(FIRST_TWEET, FIRST_AUTHOR), readers))
    for server, tags in zip(found.slots, shares, strict=True):
        with nodes().server(server.address).connection(60.0) as connection:
            for first in range(0, len(tags), COPIES_AT_ONCE):
                connection.ask(
                    *(
                        ("RESTORE", key(int(tag)), 0, dump, "REPLACE")
                        for tag in tags[first : first + COPIES_AT_ONCE]
                        for key, dump in zip(keys, dumps, strict=True)
                    )
                )


def copy_key(source: str, names: Sequence[str]) -> None:
    """Copy one key of a single server to all the names."""
    for first in range(0, len(names), COPIES_AT_ONCE):
        with client(60.0).pipeline(transaction=False) as pipeline:
            for name in names[first : first + COPIES_AT_ONCE]:
                pipeline.execute_command("COPY", source, name, "REPLACE")
            pipeline.execute()
