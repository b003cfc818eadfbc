"""Fan-out of one tweet by a big account and of many ordinary tweets."""

import time
from collections.abc import Callable
from functools import partial
from itertools import chain, count
from statistics import median

from benchmarks import load, measure, peers, rig, tasks, world
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from tests.stack import Stack, wait_until
from tests.valkey import client
from timelines.delivery.tasks import fan_out
from timelines.lists import store
from tweets.models import Tweet
from tweets.posting import post
from users.models import Follow

TWITTER_2013 = 347_000  # deliveries per second by the whole fleet (High Scalability, 8 July 2013)
WORKERS = 2


def prepare(stack: Stack, size: Size) -> None:
    """Create the authors and readers with full lists, and start workers.

    All readers follow the big author.
    """
    world.clear(stack)
    readers = range(1, size.readers + 1)
    world.add_follows(
        chain(((reader, size.big_author) for reader in readers), world.ordinary_edges(size)),
        users=size.ordinary_authors[-1],
    )
    world.materialise_all(readers)
    rig.start_workers(stack)


def until_delivered(started: float) -> float:
    """Wait until the outbox is empty and return the seconds since `started`."""
    wait_until(world.nothing_pending, seconds=120, pause_seconds=0.002)
    return time.perf_counter() - started


def drained(authors: range) -> float:
    """Store one tweet by each author, then deliver them. Return the seconds of the delivery."""
    world.post(authors, len(authors))
    started = time.perf_counter()
    for _ in range(WORKERS):
        fan_out.delay()
    return until_delivered(started)


def big_account(stack: Stack, size: Size) -> list[Result]:
    """Compare one tweet to all readers with the ceiling and with replays of other projects.

    The replays deliver to only some of the readers.
    """
    ceiling = _ceiling(stack, size)
    some = range(1, size.peers_readers + 1)
    replays = peers.all_peers()
    for peer in replays.values():
        peer.fill(some)

    def twit() -> float:
        started = time.perf_counter()
        post(author_id=size.big_author, message="to all of you")
        return until_delivered(started) / size.readers

    posts = count(2 * world.FIRST_TWEET)

    def replay(peer: peers.Peer) -> float:
        started = time.perf_counter()
        peer.deliver(some, next(posts))
        return (time.perf_counter() - started) / len(some)

    contenders: dict[str, Callable[[], float]] = {
        "Twit": twit,
        "the ceiling": lambda: ceiling.seconds() / size.readers,
    }
    contenders |= {name: partial(replay, peer) for name, peer in replays.items()}
    series = measure.in_rounds("one big account", contenders, size.rounds)
    figures = {
        name if name in {"Twit", "the ceiling"} else f"{name} (replay)": 1 / series.median(name)
        for name in series
    }
    spacing = store.MARK_SPACING
    long_run = f"Twit, {spacing} tweets, each list tended once"
    figures[long_run] = spacing / sum(twit() for _ in range(spacing))
    # It takes a minute, in which the machine may become slower or faster.
    after = [ceiling.seconds() / size.readers for _ in range(size.rounds)]
    around = [*series["the ceiling"], *after]
    return [
        Result(
            "Fan-out of one big account",
            "deliveries per second",
            figures | {"Twitter's whole fleet, 2013": TWITTER_2013},
            [
                Target("Twit over the ceiling", series.ratio("the ceiling", "Twit"), at_least=0.65),
                Target(
                    f"{long_run}, over the ceiling",
                    figures[long_run] * median(around),
                    at_least=0.8,
                ),
                *(
                    Target(f"Twit over {name}'s replay", series.ratio(name, "Twit"), at_least=times)
                    for name, times in (
                        ("Stream-Framework", 15),
                        ("Mastodon", 60),
                        ("Misskey", 2.2),
                    )
                ),
            ],
            f"{size.readers:,} followers, {WORKERS} worker processes, from the commit until the "
            f"outbox is empty. Replays: {len(some):,} followers. A replay measures a way to write, "
            "not the project's own throughput.",
        )
    ]


def ordinary_tweets(stack: Stack, size: Size) -> list[Result]:
    """Compare pending tweets of many authors with one task per tweet and with the ceiling."""
    ceiling = _ceiling(stack, size)
    authors = size.ordinary_authors
    some = authors[::5]  # because one task per tweet takes long

    def one_task_per_tweet() -> float:
        newest = Tweet.objects.order_by("-id").values_list("id", flat=True).first() or 0
        world.post(authors, len(authors))
        world.sql("TRUNCATE timelines_fanout")
        tweets = Tweet.objects.filter(id__gt=newest, author_id__in=some).values_list(
            "id", flat=True
        )
        for tweet_id in tweets:
            tasks.deliver_one.apply_async((tweet_id,), queue="held back")
        valkey = client()
        valkey.set(tasks.DELIVERED, 0)
        started = time.perf_counter()
        valkey.rename("held back", "celery")
        wait_until(lambda: int(valkey.get(tasks.DELIVERED) or 0) == len(some), 120, 0.002)
        return (time.perf_counter() - started) / followers(some)

    contenders = {
        "Twit": lambda: drained(authors) / followers(authors),
        "one task per tweet": one_task_per_tweet,
        "the ceiling": lambda: ceiling.seconds() / size.readers,
    }
    series = measure.in_rounds("many ordinary tweets", contenders, size.rounds)
    mean = followers(authors) / len(authors)
    return [
        Result(
            "Fan-out of many ordinary tweets",
            "deliveries per second",
            {name: 1 / series.median(name) for name in series}
            | {"Twit, tweets per second": 1 / series.median("Twit") / mean},
            [
                Target("Twit over the ceiling", series.ratio("the ceiling", "Twit"), at_least=0.35),
                Target(
                    "Twit over one task per tweet",
                    series.ratio("one task per tweet", "Twit"),
                    at_least=4,
                ),
            ],
            f"{len(authors):,} pending tweets by authors with {mean:.0f} followers on average, "
            f"{WORKERS} worker processes.",
        )
    ]


def _ceiling(stack: Stack, size: Size) -> load.Ceiling:
    url = stack.env["REDIS_URL"]
    return load.Ceiling([(url, range(first, size.readers + 1, WORKERS)) for first in (1, 2)])


def followers(authors: range) -> int:
    """Return how many followers those authors have in total."""
    return Follow.objects.filter(followed_id__in=authors).count()


PARTS = ((prepare, big_account), (prepare, ordinary_tweets))
