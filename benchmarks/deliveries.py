"""Fan-out: one big account, many ordinary tweets, latency, and how it grows."""

import json
import time
from collections.abc import Callable
from functools import partial
from itertools import chain, count
from statistics import median, quantiles

from benchmarks import load, measure, peers, rig, tasks, world
from benchmarks.report import Result, Target
from benchmarks.sizes import Size
from tests.stack import Stack, wait_until
from tests.valkey import client
from timelines.delivery.tasks import fan_out
from timelines.lists import store
from timelines.lists.keys import list_key
from tweets.models import Tweet
from tweets.posting import post
from users.models import Follow

TWITTER_2013 = 347_000  # deliveries a second by the whole fleet (High Scalability, 8 July 2013)
WORKERS = 2


def prepare(stack: Stack, size: Size) -> None:
    """Readers with full lists, who follow the big author; the ordinary authors; workers."""
    world.clear(stack)
    readers = range(1, size.readers + 1)
    world.add_follows(
        chain(((reader, size.big_author) for reader in readers), world.ordinary_edges(size)),
        users=size.ordinary_authors[-1],
    )
    world.materialise_all(readers)
    rig.start_workers(stack)


def until_delivered(started: float) -> float:
    """Seconds from `started` until the outbox is empty."""
    wait_until(world.nothing_pending, seconds=120, pause_seconds=0.002)
    return time.perf_counter() - started


def drained(authors: range) -> float:
    """Seconds until a tweet by each of the authors, all pending at once, is delivered."""
    world.post(authors, len(authors))
    started = time.perf_counter()
    for _ in range(WORKERS):
        fan_out.delay()
    return until_delivered(started)


def big_account(stack: Stack, size: Size) -> list[Result]:
    """One tweet to all readers; the ceiling; other projects' ways, to some of the readers."""
    ceiling = load.Ceiling(stack.env["REDIS_URL"], range(1, size.readers + 1))
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
    figures["Twit, every list tended once"] = spacing / sum(twit() for _ in range(spacing))
    return [
        Result(
            "Fan-out of one big account",
            "deliveries a second",
            figures | {"Twitter's whole fleet, 2013": TWITTER_2013},
            [
                Target("Twit, of the ceiling", series.ratio("the ceiling", "Twit"), at_least=0.65),
                *(
                    Target(f"Twit over {name}'s replay", series.ratio(name, "Twit"), at_least=times)
                    for name, times in (("Stream-Framework", 15), ("Mastodon", 60), ("Misskey", 2))
                ),
            ],
            f"{size.readers:,} followers, from commit until the outbox is empty, {WORKERS} worker "
            f"processes; replays: {len(some):,} followers. A replay is a way to write, no project.",
        )
    ]


def ordinary_tweets(stack: Stack, size: Size) -> list[Result]:
    """Pending tweets of many authors; a task for each of them; the ceiling."""
    ceiling = load.Ceiling(stack.env["REDIS_URL"], range(1, size.readers + 1))
    authors = size.ordinary_authors
    some = authors[::5]  # the plain way takes long

    def plain() -> float:
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
        "a task that delivers its own tweet": plain,
        "the ceiling": lambda: ceiling.seconds() / size.readers,
    }
    series = measure.in_rounds("many ordinary tweets", contenders, size.rounds)
    mean = followers(authors) / len(authors)
    return [
        Result(
            "Fan-out of many ordinary tweets",
            "deliveries a second",
            {name: 1 / series.median(name) for name in series}
            | {"Twit, tweets a second": 1 / series.median("Twit") / mean},
            [
                Target("Twit, of the ceiling", series.ratio("the ceiling", "Twit"), at_least=0.35),
                Target(
                    "Twit over a task for each tweet",
                    series.ratio("a task that delivers its own tweet", "Twit"),
                    at_least=4,
                ),
            ],
            f"{len(authors):,} pending tweets by authors with {mean:.0f} followers on average, "
            f"{WORKERS} worker processes.",
        )
    ]


def followers(authors: range) -> int:
    """How many followers those authors have, all together."""
    return Follow.objects.filter(followed_id__in=authors).count()


def latency(stack: Stack, size: Size) -> list[Result]:
    """From the POST until the entry is in a follower's list; a task that does nothing."""
    link = load.connect(rig.start_web(stack))
    author = size.ordinary_authors[len(size.ordinary_authors) // 2]
    reader = Follow.objects.filter(followed_id=author).values_list("follower_id", flat=True)[0]
    key = list_key(reader)
    valkey = client()
    body = json.dumps({"userId": author, "message": "Has it arrived?"}).encode()
    request = load.Call("POST", "/tweets", body)

    def arrival() -> None:
        before = valkey.llen(key)
        load.over_http(link, request)
        while valkey.llen(key) == before:
            time.sleep(0.0001)

    def settle() -> None:
        wait_until(world.nothing_pending)
        time.sleep(0.005)

    contenders = {
        "until the entry is in the list": arrival,
        "until the POST is answered": lambda: load.over_http(link, request),
        "round trip of a task that does nothing": lambda: tasks.nothing.delay().get(),
    }
    taken = measure.one_by_one("latency", contenders, size.rounds * size.calls, settle)
    percentiles = {name: quantiles(taken[name], n=100) for name in taken}
    return [
        Result(
            "Latency of a tweet",
            "milliseconds",
            {
                f"{name}, p{percent}": 1000 * percentiles[name][percent - 1]
                for name in contenders
                for percent in (50, 99)
            },
            [
                Target(
                    "arrival over the empty task's round trip, p50",
                    median(taken["until the entry is in the list"])
                    / median(taken["round trip of a task that does nothing"]),
                    at_most=2,
                )
            ],
            "One client on an idle system; the task's round trip is Celery's own delay().get().",
        )
    ]


def growth(stack: Stack, size: Size) -> list[Result]:
    """As many deliveries, by tweets of authors with few and with many followers."""
    counts = [n for n in (100, 1_000, 10_000, 150_000) if n <= size.readers]
    total = counts[-1]
    authors, first = {}, size.ordinary_authors[-1] + 1
    for n in counts:
        authors[n] = range(first, first + total // n)
        first += total // n
    # Each time every list gets one entry: whether lists are in the processor's cache is no growth.
    edges = (
        (1 + number * n + place, author)
        for n in counts
        for number, author in enumerate(authors[n])
        for place in range(n)
    )
    world.add_follows(edges, users=first)

    def twit(n: int) -> float:
        return drained(authors[n]) / total

    contenders = {f"{n:,} followers": partial(twit, n) for n in counts}
    series = measure.in_rounds("growth of fan-out", contenders, size.rounds)
    many = [series.median(f"{n:,} followers") for n in counts if n >= 1_000]  # noqa: PLR2004
    return [
        Result(
            "Fan-out by number of followers",
            "microseconds a delivery",
            {name: 1e6 * series.median(name) for name in series},
            [
                Target(
                    "dearest over cheapest, from 1,000 followers",
                    max(many) / min(many),
                    at_most=1.5,
                )
            ],
            f"{total:,} deliveries each time, one to every list.",
        )
    ]


PARTS = ((prepare, big_account), (prepare, ordinary_tweets), (prepare, latency), (prepare, growth))
