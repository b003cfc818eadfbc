"""How much memory an entry takes in Valkey."""

from benchmarks import peers, world
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from tests.stack import Stack
from tests.valkey import client
from timelines.lists import upkeep

ACTIVE_USERS_2013 = 150_000_000  # of Twitter (High Scalability, 8 July 2013)


def entries(stack: Stack, size: Size) -> list[Result]:
    """Measure bytes per entry for several lengths of a list, and for other projects' structures."""
    reader = 1
    figures = {}
    for length in (1, 10, 100, 200, 400, world.CAP):
        world.materialise(reader, length)
        name = f"Twit, {length} {'entry' if length == 1 else 'entries'}"
        figures[name] = upkeep.memory_bytes(reader) / length
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
                Target(f"bytes per entry, {world.CAP} entries", twit, at_most=13),
                Target("sorted set over Twit", sorted_set / twit, at_least=7),
            ],
            "Measured by MEMORY USAGE. Twit's figures include the state. "
            f"{ACTIVE_USERS_2013:,} active users with {world.CAP} entries each would take "
            f"{terabytes:.1f} TB.",
        )
    ]


def prepare(stack: Stack, size: Size) -> None:
    """Do nothing: this part needs no users and no tweets."""


PARTS = ((prepare, entries),)
