"""A poller that follows `prev` until a page is empty sees every tweet, over HTTP.

A real web process answers. Rounds run in this process, so that a test decides on their order.
TWIT_HELD_SECONDS is how long a transaction stays open or a delivery fails.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import psycopg
import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.db.models.functions import Now

from tests.factories import TweetFactory, UserFactory
from tests.pollers import Poller
from tests.proxy import Proxy
from tests.psql import connect
from tests.stack import Stack, wait_until
from tests.timelines.lists import admit, deliver_all, listed
from tests.timelines.machine import Worker, small_lists, small_ranges
from tests.timelines.pair import Pair
from tests.valkey import client
from timelines.delivery import flags, rounds
from timelines.lists import store, upkeep
from timelines.lists.store import list_key, state_key
from timelines.models import FanOut, Flag
from timelines.reading import low_water
from tweets import settled
from tweets.models import Tweet
from users.models import Follow, User

pytestmark = pytest.mark.django_db(transaction=True)

HELD_SECONDS = float(os.environ.get("TWIT_HELD_SECONDS", "0.5"))
LOOK_SECONDS = settled.REFRESH_SECONDS + 0.01


@pytest.fixture
def web(db: None, web_stack: Stack) -> httpx.Client:
    """The web process. It discards what it knows of ids when the sequence restarts.

    Otherwise it would wait for the tweets of former tests, and hide mistakes meanwhile.
    """
    with connection.cursor() as cursor:
        cursor.execute("ALTER SEQUENCE tweets_tweet_id_seq RESTART")
    web = web_stack.client()
    look(web)
    return web


@pytest.fixture
def poller(
    web: httpx.Client, ben: User, alyssa: User, follow: Callable[[User, User], Follow]
) -> Poller:
    """A poller of ben's home timeline, who follows alyssa. It has polled once."""
    follow(ben, alyssa)
    poller = Poller(f"/tweets/followed/{ben.pk}")
    assert poller.poll(web) == []
    return poller


def post(author: User, count: int = 1) -> list[int]:
    """Post tweets. Return their ids."""
    return [tweet.pk for tweet in TweetFactory.create_batch(count, author=author)]


def deliver(*, without: int = 0) -> None:
    """Run rounds until nothing is due. The delivery of one tweet may be late."""
    FanOut.objects.filter(tweet_id=without).update(next_attempt_at=Now() + timedelta(days=1))
    while rounds.run_round().claimed:
        pass


def deliver_late_ones() -> None:
    FanOut.objects.update(next_attempt_at=Now())
    deliver_all()


def insert(session: psycopg.Connection, author: User, tweet_id: int | None = None) -> int:
    """Insert a tweet in the session's transaction. Return its id."""
    values = "(coalesce(%s, nextval('tweets_tweet_id_seq')), %s, 'hello')"
    statement = f"INSERT INTO tweets_tweet (id, author_id, message) VALUES {values} RETURNING id"
    row = session.execute(statement, [tweet_id, author.pk]).fetchone()
    assert row
    return int(row[0])


@contextmanager
def in_this_process() -> Iterator[httpx.Client]:
    """A client whose requests are answered by this process."""
    transport = httpx.WSGITransport(get_wsgi_application())
    with httpx.Client(transport=transport, base_url="http://localhost") as client:
        yield client


def look(web: httpx.Client) -> None:
    """Let the web process find out that what is committed now is settled. It takes two looks."""
    for _ in range(2):
        time.sleep(LOOK_SECONDS)
        web.get("/tweets/followed/1")
        web.get("/tweets?limit=1")


# Arrivals that are out of order


def test_a_tweet_that_later_ones_overtake_is_seen(
    web: httpx.Client, poller: Poller, alyssa: User
) -> None:
    late, *others = post(alyssa, 3)
    deliver(without=late)
    assert poller.poll(web) == others
    look(web)
    more = post(alyssa, 2)
    deliver()
    assert poller.poll(web) == more
    look(web)
    assert poller.poll(web) == []
    deliver_late_ones()
    assert poller.poll(web) == [late]
    assert poller.poll(web) == []


def test_the_first_tweet_of_all_is_seen(web: httpx.Client, alyssa: User) -> None:
    poller = Poller("/tweets")
    assert poller.poll(web) == []
    look(web)
    assert poller.poll(web) == []
    assert post(alyssa) == [1]
    assert poller.poll(web) == [1]
    assert poller.poll(web) == []


def test_a_tweet_that_was_late_at_the_first_page_is_seen(
    web: httpx.Client, poller: Poller, ben: User, alyssa: User
) -> None:
    late, *others = post(alyssa, 3)
    deliver(without=late)
    look(web)
    second = Poller(f"/tweets/followed/{ben.pk}")
    assert second.poll(web) == others
    deliver_late_ones()
    assert second.poll(web) == [late]
    assert second.poll(web) == []


@pytest.mark.parametrize("path", ["/tweets/followed/{ben}", "/tweets", "/tweets/user/{alyssa}"])
@pytest.mark.parametrize("starts_meanwhile", [False, True])
def test_a_tweet_whose_transaction_commits_last_is_seen(
    web: httpx.Client, poller: Poller, ben: User, alyssa: User, path: str, starts_meanwhile: bool
) -> None:
    poller = Poller(path.format(ben=ben.pk, alyssa=alyssa.pk))
    if not starts_meanwhile:
        assert poller.poll(web) == []
    with connect() as held:
        late = insert(held, alyssa)
        others = post(alyssa, 2)
        deliver()
        look(web)
        assert poller.poll(web) == others
        time.sleep(HELD_SECONDS)
        more = post(alyssa, 2)
        deliver()
        assert poller.poll(web) == more
    deliver()
    assert poller.poll(web) == [late]
    assert poller.poll(web) == []


def test_an_id_that_is_taken_before_its_transaction_writes_is_seen(
    web: httpx.Client, poller: Poller, alyssa: User
) -> None:
    before = post(alyssa)  # so that the sequence writes no log, which takes a transaction id
    deliver()
    look(web)
    assert poller.poll(web) == before
    with connect() as held:
        [late] = held.execute("SELECT nextval('tweets_tweet_id_seq')").fetchone() or []
        assigned = held.execute("SELECT pg_current_xact_id_if_assigned()").fetchone()
        assert assigned == (None,)
        others = post(alyssa, 2)
        deliver()
        look(web)
        assert poller.poll(web) == others
        time.sleep(HELD_SECONDS)
        more = post(alyssa, 2)
        deliver()
        assert poller.poll(web) == more
        assert insert(held, alyssa, late) == late
    deliver()
    assert poller.poll(web) == [late]
    assert poller.poll(web) == []


def test_a_transaction_that_is_rolled_back_leaves_the_address_long_for_a_while(
    poller: Poller, alyssa: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settled, "MISSING_SECONDS", 0.5)
    with in_this_process() as web:
        before = post(alyssa)
        deliver()
        look(web)
        assert poller.poll(web) == before
        with connect() as held:
            insert(held, alyssa)
            others = post(alyssa, 30)
            deliver()
            assert poller.poll(web) == others
            long = len(poller.address)
            held.rollback()

        def is_short() -> bool:
            assert poller.poll(web) == []
            return len(poller.address) < long - 30

        assert not is_short()
        wait_until(is_short)


def test_a_transaction_that_stays_open_leaves_the_address_short_enough(
    web: httpx.Client, poller: Poller, alyssa: User
) -> None:
    with connect() as held:
        insert(held, alyssa)
        posted = [
            tweet.pk
            for tweet in Tweet.objects.bulk_create(
                Tweet(author=alyssa, message="hello") for _ in range(1_500)
            )
        ]
        deliver()
        assert poller.poll(web) == posted
        assert len(poller.address) < 2_000
        assert poller.poll(web) == []


# The list is not what it was


def forget(reader: User) -> None:
    upkeep.forget(reader.pk)


def empty(reader: User) -> None:
    client().flushdb()


def evict_the_list(reader: User) -> None:
    client().delete(list_key(reader.pk))


def evict_its_state(reader: User) -> None:
    client().delete(state_key(reader.pk))


@pytest.mark.parametrize("lose", [forget, empty, evict_the_list, evict_its_state])
def test_a_lost_list_hides_and_repeats_nothing(
    web: httpx.Client, poller: Poller, ben: User, alyssa: User, lose: Callable[[User], None]
) -> None:
    late, *others = post(alyssa, 3)
    deliver(without=late)
    assert poller.poll(web) == others
    look(web)
    assert poller.poll(web) == []
    lose(ben)
    assert poller.poll(web) == [late]  # Postgres has it
    assert listed(ben.pk) == [*others[::-1], late]
    deliver_late_ones()
    more = post(alyssa, 2)
    deliver()
    assert poller.poll(web) == more
    assert poller.poll(web) == []


def test_a_list_that_is_lost_after_a_late_delivery_hides_nothing(
    web: httpx.Client, poller: Poller, alyssa: User
) -> None:
    late, *others = post(alyssa, 3)
    deliver(without=late)
    assert poller.poll(web) == others
    look(web)
    assert poller.poll(web) == []
    deliver_late_ones()
    client().flushdb()
    assert poller.poll(web) == [late]
    assert poller.poll(web) == []


def test_a_trim_below_what_was_seen_hides_and_repeats_nothing(
    web: httpx.Client, poller: Poller, ben: User, alyssa: User
) -> None:
    late, *others = post(alyssa, 5)
    deliver(without=late)
    assert poller.poll(web) == others
    look(web)
    assert poller.poll(web) == []
    with small_lists(cap=10, spacing=5):
        more = post(alyssa, 60)
        deliver()
    found = store.read(ben.pk, renew=False)
    assert found
    assert found.floor > others[-1]
    assert poller.poll(web) == [late, *more]
    deliver_late_ones()
    look(web)
    assert poller.poll(web) == []


def test_a_cursor_whose_tweet_stands_in_the_list_twice_repeats_nothing(
    web: httpx.Client, poller: Poller, ben: User, alyssa: User, worker: Callable[[], Worker]
) -> None:
    [tweet] = post(alyssa)
    first = worker()
    first.claim(rows=10, followers=10)
    first.push()
    assert poller.poll(web) == [tweet]
    first.die()
    deliver()
    assert (listed(ben.pk) or []).count(tweet) == 2
    assert poller.poll(web) == []
    look(web)
    more = post(alyssa, 2)
    deliver()
    assert poller.poll(web) == more
    assert poller.poll(web) == []


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A primary, admitted, and its replica."""
    pair = Pair(tmp_path)
    pair.nodes[1].follow(pair.nodes[0])
    with pair.seen_from(0):
        admit()
    yield pair
    pair.stop()


def test_a_failover_between_two_polls_hides_and_repeats_nothing(
    stack: Stack, pair: Pair, ben: User, alyssa: User, follow: Callable[[User, User], Follow]
) -> None:
    follow(ben, alyssa)
    proxy = Proxy(pair.nodes[0].port)
    web = stack.start_web(REDIS_URL=proxy.url(pair.nodes[0].url))
    poller = Poller(f"/tweets/followed/{ben.pk}")
    poller.poll(web)
    pair.lose_primary(1)  # the replica lags
    late, *others = post(alyssa, 3)
    with pair.seen_from(0):
        deliver(without=late)
    assert poller.poll(web) == others
    look(web)
    assert poller.poll(web) == []
    pair.promote(1)
    pair.lead_elsewhere()
    proxy.target = pair.nodes[0].port
    proxy.cut()
    proxy.heal()
    poller.poll(web)
    with pair.seen_from(0):
        admit()
        poller.poll(web)
        more = post(alyssa, 2)
        deliver()
        poller.poll(web)
        deliver_late_ones()
    poller.poll(web)
    look(web)
    assert poller.poll(web) == []
    assert poller.given == Counter([late, *others, *more])
    proxy.close()


# Slow and failing deliveries


def test_a_long_delivery_is_seen_at_once_and_once(
    web: httpx.Client,
    eva: User,
    ben: User,
    poller: Poller,
    alyssa: User,
    follow: Callable[[User, User], Follow],
) -> None:
    for reader in (eva, *UserFactory.create_batch(12)):
        follow(reader, alyssa)
    [long] = post(alyssa)
    with small_ranges(whole_followers=1):
        rounds.run_round()  # only eva's list gets it
        assert listed(ben.pk) == []
        assert Flag.objects.get().tweet_id == long
        assert poller.poll(web) == [long]
        look(web)
        more = post(alyssa, 2)
        deliver()
        flags.sweep()
    assert poller.poll(web) == more
    look(web)
    assert poller.poll(web) == []


@pytest.mark.parametrize("is_flagged", [True, False])
def test_a_delivery_that_fails_while_others_go_on_is_seen_once(
    web: httpx.Client,
    eva: User,
    ben: User,
    poller: Poller,
    alyssa: User,
    louis: User,
    follow: Callable[[User, User], Follow],
    is_flagged: bool,
) -> None:
    """It fails at eva, whose turn is before ben's."""
    assert eva.pk < ben.pk
    if not is_flagged:
        Flag.objects.bulk_create(Flag(tweet_id=-n, author_id=1) for n in range(Flag.MOST))
    follow(eva, alyssa)
    follow(ben, louis)
    poller.poll(web)
    client().set(list_key(eva.pk), "no list")
    [failing] = post(alyssa)
    others: list[int] = []
    until = time.monotonic() + HELD_SECONDS
    with small_ranges(whole_followers=1), patch.object(rounds, "PAUSES_SECONDS", (0.05,)):
        while time.monotonic() < until or FanOut.objects.get(tweet_id=failing).attempts <= 2:
            others += post(louis)
            deliver()
            poller.poll(web)
            time.sleep(max(0.02, HELD_SECONDS / 300))  # a cursor has room for 400
        assert (failing in poller.given) == is_flagged
        client().delete(list_key(eva.pk))
        time.sleep(0.05)
        deliver_late_ones()
    poller.poll(web)
    look(web)
    assert poller.poll(web) == []
    assert poller.given == Counter([failing, *others])


def test_a_deleted_tweet_is_not_given_and_holds_nothing_up(
    web: httpx.Client, poller: Poller, alyssa: User
) -> None:
    late, deleted, *others = post(alyssa, 4)
    deliver(without=late)
    Tweet.objects.filter(pk__in=[deleted, late]).delete()
    assert poller.poll(web) == others
    deliver_late_ones()
    look(web)
    more = post(alyssa)
    deliver()
    assert poller.poll(web) == more
    assert poller.poll(web) == []


# Many tweets, and processes that know more or less


def test_three_hundred_tweets_in_pages_of_20_while_more_arrive(
    web: httpx.Client, poller: Poller, alyssa: User
) -> None:
    posted = post(alyssa, 300)
    late = posted[5]
    deliver(without=late)
    pages = [poller.ask(web)]
    while pages[-1]:
        if len(pages) == 5:
            deliver_late_ones()
        if len(pages) < 12:
            posted += post(alyssa, 7)
            deliver()
        pages.append(poller.ask(web))
    assert [len(page) for page in pages[:15]] == [20] * 15
    assert poller.given == Counter(posted)


@pytest.fixture
def stale(monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A second web process, this one, which looks at the low-water id only once."""
    monkeypatch.setattr(low_water, "REFRESH_SECONDS", 3_600.0)
    with in_this_process() as stale:
        stale.get("/tweets/followed/1")
        yield stale


def test_processes_with_an_old_and_a_new_low_water_id_answer_in_turns(
    web: httpx.Client, stale: httpx.Client, poller: Poller, alyssa: User
) -> None:
    posted: list[int] = []
    for late_by in (0, 1, 2):
        late, *others = post(alyssa, 5)
        deliver(without=late)
        look(web)
        for turn in range(4):
            poller.poll((web, stale)[(turn + late_by) % 2])
        assert set(others) <= set(poller.given)
        assert late not in poller.given
        deliver_late_ones()
        posted += [late, *others]
    poller.poll(stale)
    assert poller.given == Counter(posted)
    look(web)
    assert poller.poll(web) == []
    assert poller.poll(stale) == []


@pytest.mark.parametrize("step", ["begin_read", "finish_read"])
def test_a_delivery_that_ends_after_the_list_was_read_is_seen(
    poller: Poller, alyssa: User, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The low-water id must be older than the list, which Valkey reads between the steps."""
    late, *others = post(alyssa, 3)
    deliver(without=late)
    take_step = getattr(store, step)

    def read_and_deliver(*args: Any, **options: Any) -> Any:
        found = take_step(*args, **options)
        time.sleep(0.02)  # until Valkey has read it
        deliver_late_ones()
        return found

    with in_this_process() as web:
        look(web)
        time.sleep(LOOK_SECONDS)
        with monkeypatch.context() as patched:
            patched.setattr(store, step, read_and_deliver)
            assert poller.ask(web) == others[::-1]
        assert poller.poll(web) == [late]
        assert poller.poll(web) == []
