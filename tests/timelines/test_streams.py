"""Streams of home timelines over HTTP: what arrives, and where a client that comes back goes on.

A real web process answers. Rounds run in this process, so that a test decides on their order.
"""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from django.db.models.functions import Now

from api.cursors import Cursor
from api.fields import MAX_ID
from tests.factories import TweetFactory
from tests.pollers import Poller
from tests.proxy import Proxy
from tests.psql import connect
from tests.stack import Stack, wait_until
from tests.streamer import Streamer
from tests.timelines.lists import admit, listed
from tests.timelines.machine import small_lists
from tests.timelines.pair import Pair
from tests.valkey import client
from timelines.delivery import rounds
from timelines.lists import store
from timelines.lists.store import list_key, state_key
from timelines.models import FanOut, Flag
from tweets import settled
from tweets.models import Tweet
from users.models import Follow, User

pytestmark = pytest.mark.django_db(transaction=True)
SOON_SECONDS = 3.0  # a busy machine's idea of at once; what nothing tells of takes 5 at least


@pytest.fixture
def web(db: None, web_stack: Stack) -> httpx.Client:
    return web_stack.client()


@pytest.fixture
def listen(web: httpx.Client) -> Iterator[Callable[..., Streamer]]:
    """listen(ben) opens a stream of ben's home timeline, which ends with the test."""
    opened: list[Streamer] = []

    def start(reader: User, query: str = "", *headers: str) -> Streamer:
        path = f"/tweets/followed/{reader.pk}/stream{query}"
        stream = Streamer(str(web.base_url), path, *headers).open()
        assert stream.status == 200
        opened.append(stream)
        stream.read_until(lambda: stream.last_id)
        return stream

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def stream(
    listen: Callable[..., Streamer], ben: User, alyssa: User, follow: Callable[[User, User], Follow]
) -> Streamer:
    """A stream of ben's home timeline, who follows alyssa."""
    follow(ben, alyssa)
    return listen(ben)


def post(author: User, count: int = 1) -> list[int]:
    """Post tweets and deliver them. Return their ids."""
    ids = [tweet.pk for tweet in TweetFactory.create_batch(count, author=author)]
    while rounds.run_round().claimed:
        pass
    return ids


def is_renewed(key: str) -> bool:
    return client().ttl(key) > store.EXPIRY_SECONDS - 10


def lost(stream: Streamer, ids: list[int]) -> bool:
    return stream.gone == {*ids}


def saw(stream: Streamer, ids: list[int]) -> Callable[[], bool]:
    return lambda: [*stream.given] == ids


# What arrives


def test_a_tweet_arrives_at_once_and_as_pages_show_it(
    web: httpx.Client, stream: Streamer, alyssa: User
) -> None:
    [tweet] = post(alyssa)
    stream.read_until(saw(stream, [tweet]), SOON_SECONDS)
    assert [tuple(event) for event in stream.events] == [
        ("tweet", web.get(f"/tweets/{tweet}").json())
    ]


def test_tweets_of_others_do_not_arrive(stream: Streamer, alyssa: User, eva: User) -> None:
    post(eva)
    ids = post(alyssa)
    stream.read_until(lambda: stream.given, SOON_SECONDS)
    assert [*stream.given] == ids


def test_the_oldest_tweet_comes_first(stream: Streamer, alyssa: User) -> None:
    ids = post(alyssa, 120)
    stream.read_until(saw(stream, ids))
    assert stream.repetitions() == 0


def test_every_stream_of_a_reader_gets_every_tweet(
    listen: Callable[..., Streamer], stream: Streamer, ben: User, alyssa: User
) -> None:
    streams = [stream, *(listen(ben) for _ in range(3))]
    ids = post(alyssa, 3)
    for each in streams:
        each.read_until(saw(each, ids), SOON_SECONDS)
    streams[1].close()
    ids += post(alyssa)
    for each in (streams[0], *streams[2:]):
        each.read_until(saw(each, ids), SOON_SECONDS)


def test_a_reader_without_follows_gets_tweets_after_the_first_follow(
    listen: Callable[..., Streamer], ben: User, alyssa: User, follow: Callable[[User, User], Follow]
) -> None:
    stream = listen(ben)
    old = post(alyssa)
    follow(ben, alyssa)
    new = post(alyssa)
    stream.read_until(lambda: new[0] in stream.given, 10)
    assert set(stream.given) <= {*old, *new}


def test_a_flagged_delivery_arrives_before_the_list_has_it_and_once(
    stream: Streamer, alyssa: User, ben: User
) -> None:
    tweet = TweetFactory.create(author=alyssa)
    Flag.objects.create(tweet_id=tweet.pk, author_id=alyssa.pk)
    stream.read_until(saw(stream, [tweet.pk]), SOON_SECONDS)
    assert listed(ben.pk) == []
    assert rounds.run_round().claimed
    post(alyssa)
    stream.read_until(lambda: len(stream.given) == 2, SOON_SECONDS)
    assert stream.repetitions() == 0


# Arrivals that are out of order


def test_a_tweet_that_later_ones_overtake_arrives(stream: Streamer, alyssa: User) -> None:
    late, *others = (tweet.pk for tweet in TweetFactory.create_batch(3, author=alyssa))
    FanOut.objects.filter(tweet_id=late).update(next_attempt_at=Now() + timedelta(days=1))
    others += post(alyssa)
    stream.read_until(saw(stream, others))
    stream.close()
    stream.open()
    FanOut.objects.update(next_attempt_at=Now())
    more = post(alyssa)
    stream.read_until(lambda: len(stream.given) == len(others) + 2)
    assert [*stream.given] == [*others, late, *more]
    assert stream.repetitions() == 0


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_tweet_whose_transaction_commits_last_arrives(
    stream: Streamer, alyssa: User, comes_back: bool
) -> None:
    insert = "INSERT INTO tweets_tweet (author_id, message) VALUES (%s, 'late') RETURNING id"
    with connect() as held:
        [late] = held.execute(insert, [alyssa.pk]).fetchone() or []
        ids = post(alyssa, 3)
        stream.read_until(saw(stream, ids))
        time.sleep(3 * settled.REFRESH_SECONDS)
        ids += post(alyssa)
        stream.read_until(saw(stream, ids))
        if comes_back:
            stream.close()
            stream.open()
    ids += [late, *post(alyssa)]
    stream.read_until(saw(stream, ids))
    assert stream.repetitions() == 0


def test_a_stream_that_lags_behind_its_trimmed_list_misses_nothing(
    stream: Streamer, alyssa: User
) -> None:
    ids = post(alyssa, 2)
    stream.read_until(saw(stream, ids))
    stream.close()
    with small_lists(cap=10, spacing=5):
        ids += post(alyssa, 130)
    stream.open().read_until(saw(stream, ids))
    assert stream.repetitions() == 0


# What is gone


def test_a_deleted_tweet_is_gone(web: httpx.Client, stream: Streamer, alyssa: User) -> None:
    kept, deleted = post(alyssa, 2)
    stream.read_until(saw(stream, [kept, deleted]))
    web.delete(f"/tweets/{deleted}").raise_for_status()
    post(alyssa)
    stream.read_until(lambda: stream.gone, SOON_SECONDS)
    assert stream.gone == {deleted}


def test_after_an_unfollow_all_streams_lose_the_tweets_once_the_list_is_rebuilt(
    web: httpx.Client, listen: Callable[..., Streamer], stream: Streamer, ben: User, alyssa: User
) -> None:
    streams = [stream, listen(ben), listen(ben)]
    ids = post(alyssa, 2)
    for each in streams:
        each.read_until(saw(each, ids))
    Follow.objects.all().delete()
    assert web.get(f"/tweets/followed/{ben.pk}").json() == []
    for each in streams:
        each.read_until(partial(lost, each, ids), SOON_SECONDS)


def test_a_tweet_that_was_deleted_before_it_was_sent_never_arrives(
    listen: Callable[..., Streamer], stream: Streamer, ben: User, alyssa: User
) -> None:
    first = post(alyssa)
    stream.read_until(saw(stream, first))
    stream.close()
    deleted, kept = post(alyssa, 2)
    Tweet.objects.get(pk=deleted).delete()
    stream.open().read_until(lambda: kept in stream.given)
    assert deleted not in stream.given
    assert stream.gone == set()


# Coming back


def test_a_client_that_comes_back_with_the_last_id_gets_what_it_missed(
    stream: Streamer, alyssa: User
) -> None:
    ids = post(alyssa, 2)
    stream.read_until(saw(stream, ids))
    stream.close()
    ids += post(alyssa, 2)
    stream.open().read_until(saw(stream, ids))
    ids += post(alyssa)
    stream.read_until(saw(stream, ids))
    assert stream.repetitions() == 0


def test_a_client_that_got_no_event_comes_back_with_the_first_id(
    stream: Streamer, alyssa: User
) -> None:
    stream.close()
    ids = post(alyssa, 2)
    stream.open().read_until(saw(stream, ids))


def test_an_event_that_was_cut_off_is_sent_again(stream: Streamer, alyssa: User) -> None:
    ids = post(alyssa, 3)
    for most_bytes in (30, 60, 100, 200, 250, 300):
        stream.open()
        stream.read_until(lambda: stream.last_id, most_bytes=20)
        stream.read(SOON_SECONDS, most_bytes)
        stream.close()
        if len(stream.given) == len(ids):
            break
    stream.open().read_until(saw(stream, ids))
    assert stream.repetitions() == 0


def test_a_stream_goes_on_where_a_page_ended(
    web: httpx.Client,
    listen: Callable[..., Streamer],
    ben: User,
    alyssa: User,
    follow: Callable[[User, User], Follow],
) -> None:
    follow(ben, alyssa)
    seen = post(alyssa, 2)
    poller = Poller(f"/tweets/followed/{ben.pk}")
    assert poller.poll(web) == seen
    new = post(alyssa, 2)
    after = httpx.URL(poller.address).params["after"]
    stream = listen(ben, f"?after={after}")
    stream.read_until(saw(stream, new))
    poller.address = f"/tweets/followed/{ben.pk}?after={stream.last_id}"
    new = post(alyssa, 2)
    assert poller.poll(web) == new


def test_the_header_is_more_recent_than_the_parameter(
    listen: Callable[..., Streamer], stream: Streamer, ben: User, alyssa: User
) -> None:
    ids = post(alyssa, 2)
    after = stream.last_id
    stream.read_until(saw(stream, ids))
    second = listen(ben, f"?after={after}", f"Last-Event-ID: {stream.last_id}")
    ids = post(alyssa)
    second.read_until(lambda: second.given)
    assert [*second.given] == ids


def test_a_cursor_of_long_ago_gets_everything_since(
    listen: Callable[..., Streamer], ben: User, alyssa: User, follow: Callable[[User, User], Follow]
) -> None:
    follow(ben, alyssa)
    ids = post(alyssa, 130)
    stream = listen(ben, "?after=AA")
    stream.read_until(saw(stream, ids))


# The list is not what it was


@pytest.mark.parametrize("key", [list_key, state_key])
def test_an_evicted_list_hides_and_repeats_nothing(
    stream: Streamer, ben: User, alyssa: User, key: Callable[[int], str]
) -> None:
    ids = post(alyssa, 2)
    stream.read_until(saw(stream, ids))
    client().delete(key(ben.pk))
    ids += post(alyssa, 2)
    stream.read_until(saw(stream, ids), 10)


def test_an_emptied_server_hides_and_repeats_nothing(stream: Streamer, alyssa: User) -> None:
    ids = post(alyssa, 2)
    stream.read_until(saw(stream, ids))
    client().flushdb()
    ids += post(alyssa, 2)
    stream.read_until(saw(stream, ids), 10)


def test_killed_connections_hide_and_repeat_nothing(stream: Streamer, alyssa: User) -> None:
    ids = post(alyssa, 2)
    stream.read_until(saw(stream, ids))
    client().client_kill_filter(_type="normal")
    client().close()
    ids += post(alyssa, 2)
    stream.read_until(saw(stream, ids), SOON_SECONDS)


def test_another_generation_hides_and_repeats_nothing(stream: Streamer, alyssa: User) -> None:
    ids = post(alyssa, 2)
    stream.read_until(saw(stream, ids))
    admit()
    ids += post(alyssa, 2)
    stream.read_until(saw(stream, ids), 10)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A primary, admitted, and its replica."""
    pair = Pair(tmp_path)
    pair.nodes[1].follow(pair.nodes[0])
    with pair.seen_from(0):
        admit()
    yield pair
    pair.stop()


def test_a_failover_hides_and_repeats_nothing(
    stack: Stack, pair: Pair, ben: User, alyssa: User, follow: Callable[[User, User], Follow]
) -> None:
    """The replica lags, so it lacks two tweets, one of which was never given."""
    follow(ben, alyssa)
    proxy = Proxy(pair.nodes[0].port)
    stack.start_web(REDIS_URL=proxy.url(pair.nodes[0].url))
    with Streamer(stack.address, f"/tweets/followed/{ben.pk}/stream").open() as stream:
        with pair.seen_from(0):
            ids = post(alyssa)
        stream.read_until(saw(stream, ids))
        pair.lose_primary(1)
        with pair.seen_from(0):
            ids += post(alyssa, 2)
        stream.read_until(saw(stream, ids))
        with pair.seen_from(0):
            ids += post(alyssa)
        pair.promote(1)
        pair.lead_elsewhere()
        proxy.target = pair.nodes[0].port
        proxy.cut()
        proxy.heal()
        with pair.seen_from(0):
            admit()
            ids += post(alyssa)
        stream.read_until(saw(stream, ids), 15)
        with pair.seen_from(0):
            ids += post(alyssa)
        stream.read_until(saw(stream, ids), 15)
        assert stream.repetitions() == 0
    proxy.close()


# The expiry


def test_a_page_read_changes_nothing_that_would_wake_a_stream(
    web: httpx.Client, stream: Streamer, ben: User
) -> None:
    ends = [client().pexpiretime(key(ben.pk)) for key in (list_key, state_key)]
    time.sleep(0.01)
    web.get(f"/tweets/followed/{ben.pk}").raise_for_status()
    assert [client().pexpiretime(key(ben.pk)) for key in (list_key, state_key)] == ends


def test_a_stream_renews_an_expiry_that_is_due(stream: Streamer, ben: User, alyssa: User) -> None:
    stream.read_until(saw(stream, post(alyssa)))
    for key in (state_key, list_key):  # a change of the list wakes the stream
        client().expire(key(ben.pk), store.EXPIRY_SECONDS - store.RENEWAL_SECONDS - 10)
    for key in (state_key, list_key):
        wait_until(partial(is_renewed, key(ben.pk)))


# Requests


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream", "application/json"])
def test_an_unknown_user_is_not_found(web: httpx.Client, accept: str) -> None:
    for query in ("", "?after=AA"):
        answer = web.get(f"/tweets/followed/99/stream{query}", headers={"Accept": accept})
        assert answer.status_code == 404
        assert answer.json() == {"detail": "There is no user 99."}


@pytest.mark.parametrize(
    ("query", "headers", "name"),
    [
        ("?after=!", {}, "after"),
        ("?after=", {}, "after"),
        ("?after=%00", {}, "after"),
        (f"?after={'A' * 10_000}", {}, "after"),
        ("", {"Last-Event-ID": "\N{LATIN SMALL LETTER E WITH ACUTE}"}, "Last-Event-ID"),
        ("?after=AA", {"Last-Event-ID": "1 2"}, "Last-Event-ID"),
    ],
)
def test_what_is_not_a_cursor_is_a_bad_request(
    web: httpx.Client, ben: User, query: str, headers: dict[str, str], name: str
) -> None:
    encoded = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
    encoded.append((b"Accept", b"text/event-stream"))
    answer = web.get(f"/tweets/followed/{ben.pk}/stream{query}", headers=encoded)
    assert answer.status_code == 400
    assert [*answer.json()["errors"]] == [name]


def test_cursors_that_somebody_made_up_disturb_no_other_stream(
    listen: Callable[..., Streamer], stream: Streamer, ben: User, alyssa: User
) -> None:
    far = Cursor(MAX_ID, ()), Cursor(MAX_ID - 500, tuple(range(MAX_ID - 450, MAX_ID)))
    for text in (*far, "_", "_" * 12, "A" * 3_000, "__________8B" * 200, "gA" * 900):
        listen(ben, f"?after={text}")
    ids = post(alyssa)
    stream.read_until(saw(stream, ids), SOON_SECONDS)


def test_a_head_has_the_headers_and_no_body(web: httpx.Client, ben: User) -> None:
    answer = web.head(f"/tweets/followed/{ben.pk}/stream")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/event-stream"


def test_a_stream_is_neither_compressed_nor_stored_nor_buffered(
    listen: Callable[..., Streamer], ben: User
) -> None:
    for _ in range(2):
        headers = listen(ben, "", "Accept-Encoding: gzip, br", "If-None-Match: *").headers
        assert "content-encoding" not in headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-accel-buffering"] == "no"
        assert "etag" not in headers


def test_other_methods_are_not_allowed(web: httpx.Client, ben: User) -> None:
    answer = web.post(f"/tweets/followed/{ben.pk}/stream")
    assert (answer.status_code, [*answer.json()]) == (405, ["detail"])
