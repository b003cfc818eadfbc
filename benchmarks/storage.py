"""How many bytes are stored and sent, for the model in docs/scaling.md."""

from benchmarks import load, world
from benchmarks.report import Result
from benchmarks.sizes import Size
from tests.stack import Stack
from tests.valkey import client
from timelines.lists import store, upkeep
from timelines.lists.entries import Entry
from timelines.lists.packing import Change, pack

FOLLOWS, TWEETS = 5, 2  # per user
PUSHES, READS = 1_000, 100
# Ids as large as those of a service with 150 million users and some years of tweets.
FIRST_TWEET, FIRST_USER = 10**11, 10**8
# In random order, so that the indexes are as full as in service.
STORE_FOLLOWS = f"""
    INSERT INTO users_follow (follower_id, followed_id)
    SELECT user_id, 1 + (user_id + 7919 * place) %% %s
    FROM generate_series(1::bigint, %s) AS user_id, generate_series(1, {FOLLOWS}) AS place
    ORDER BY random()
"""  # noqa: S608 (joined from constants)
STORE_TWEETS = f"""
    INSERT INTO tweets_tweet (author_id, message)
    SELECT user_id, repeat('x', 100)
    FROM generate_series(1::bigint, %s) AS user_id, generate_series(1, {TWEETS})
    ORDER BY random()
"""  # noqa: S608


def prepare(stack: Stack, size: Size) -> None:
    """Create the users."""
    world.clear(stack)
    world.add_follows([], users=size.readers)


def stored(stack: Stack, size: Size) -> list[Result]:
    """Measure rows with their indexes, their part of the log, lists, pushes and a page."""
    figures = {"a user, with indexes": _table("users_user") / size.readers}
    world.sql(STORE_FOLLOWS, size.readers, size.readers)
    follows = FOLLOWS * size.readers
    figures["a follow, with indexes"] = _table("users_follow") / follows
    before = _log()
    world.sql(STORE_TWEETS, size.readers)
    tweets = TWEETS * size.readers
    figures["a tweet of 100 characters, with indexes"] = _table("tweets_tweet") / tweets
    figures["an outbox row, with indexes"] = _table("timelines_fanout") / tweets
    figures["a tweet and its outbox row, in Postgres's log"] = (_log() - before) / tweets
    world.sql("TRUNCATE timelines_fanout")
    world.sql("VACUUM ANALYZE")
    return [
        Result(
            "Bytes stored and sent",
            "bytes",
            figures | _lists() | _messages(),
            remark=f"{size.readers:,} users, {follows:,} follows, {tweets:,} tweets, stored in "
            "random order. The ids in lists and pushes are as large as with 150,000,000 users.",
        )
    ]


def _lists() -> dict[str, float]:
    """Return the bytes of a full list and its state, for large ids."""
    reader, generation = FIRST_USER, world.admissions()[0].generation
    begun = store.begin_rebuild(reader)
    assert begun
    entries = [Entry(FIRST_TWEET - place, FIRST_USER + 7919 * place) for place in range(world.CAP)]
    assert store.finish_rebuild(
        reader, begun.token, version=1, generation=generation, floor=0, entries=entries
    )
    return {f"an entry, in a list of {world.CAP}": upkeep.memory_bytes(reader) / world.CAP}


def _messages() -> dict[str, float]:
    """Return the bytes that a push sends to Valkey, and that a page receives and sends."""
    readers = range(FIRST_USER, FIRST_USER + PUSHES)
    tags = [b"%d" % reader for reader in readers]
    pushes = pack(Change(Entry(FIRST_TWEET, FIRST_USER), readers), tags)
    before = _sent_by_valkey()
    for _ in range(READS):
        store.read(FIRST_USER, store.MARK_SPACING + 2 * (20 + 1))
    answers = _sent_by_valkey() - before
    page = load.in_process(load.Call("GET", "/tweets/followed/1"))  # all tweets of FOLLOWS authors
    return {
        "a push, sent to Valkey": sum(map(len, pushes)) / PUSHES,
        "a list for a page of 20, sent by Valkey": answers / READS,
        "a tweet of a page, as JSON": len(page) / (FOLLOWS * TWEETS),
    }


def _sent_by_valkey() -> int:
    return int(client().info("stats")["total_net_output_bytes"])


def _table(name: str) -> int:
    """Return the bytes of the table and its indexes."""
    return world.number(f"SELECT pg_total_relation_size('{name}')")


def _log() -> int:
    """Return the bytes that Postgres has written to its log."""
    return world.number("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")


PARTS = ((prepare, stored),)
