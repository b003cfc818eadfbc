"""What an entry takes in Valkey."""

from benchmarks import peers, world
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from tests.stack import Stack
from tests.valkey import client
from timelines.lists import store

ACTIVE_USERS_2013 = 150_000_000  # Twitter's (High Scalability, 8 July 2013)


def entries(stack: Stack, size: Size) -> list[Result]:
    """Bytes an entry by the list's length, state included; beside what other projects keep."""
    reader = 1
    figures = {}
    for length in (1, 10, 100, 200, 400, world.CAP):
        world.materialise(reader, length)
        figures[f"Twit, {length} entries"] = store.memory_bytes(reader) / length
    twit = figures[f"Twit, {world.CAP} entries"]
    for name, peer in peers.all_peers().items():
        key = f"memory:{name}"
        peer.make(key, range(world.FIRST_TWEET, world.FIRST_TWEET + peer.cap))
        taken = client().memory_usage(key, samples=0) or 0
        figures[f"{name}'s structure, {peer.cap} entries"] = taken / peer.cap
    client().zadd(
        "memory:sorted set", {str(e.tweet_id): e.tweet_id for e in world.entries(world.CAP)}
    )
    sorted_set = (client().memory_usage("memory:sorted set", samples=0) or 0) / world.CAP
    figures[f"a sorted set of the same ids, {world.CAP} entries"] = sorted_set
    terabytes = ACTIVE_USERS_2013 * world.CAP * twit / 1e12
    return [
        Result(
            "Memory of an entry",
            "bytes",
            figures,
            [
                Target(f"bytes an entry at {world.CAP} entries", twit, at_most=13),
                Target("a sorted set over Twit", sorted_set / twit, at_least=7),
            ],
            f"MEMORY USAGE, state included. {ACTIVE_USERS_2013:,} active users with {world.CAP} "
            f"entries each would take {terabytes:.1f} TB.",
        )
    ]


def prepare(stack: Stack, size: Size) -> None:
    """Nothing is needed."""


PARTS = ((prepare, entries),)
