"""Connections of streams: pipelined, half closed, reset, slow or not read at all; SIGTERM."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.db import connection

from tests.factories import FollowFactory, TweetFactory
from tests.raw import Raw
from tests.stack import Stack, wait_until
from tests.streamer import Streamer
from tests.timelines.lists import deliver_all
from twit.web import messages
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)
MOST = 3


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web process that serves few streams, for the database of these tests."""
    at = os.environ["DATABASE_URL"].rpartition("/")[0]
    address = f"{at}/{connection.settings_dict['NAME']}"
    stack = Stack(tmp_path_factory.mktemp("web"), address, settings.REDIS_URL)
    stack.start_web(TWIT_STREAMS=str(MOST))
    yield stack
    stack.stop()


@pytest.fixture
def author(alyssa: User) -> User:
    """Whom the reader follows."""
    return alyssa


@pytest.fixture
def path(server: Stack, ben: User, author: User) -> str:
    """The path of ben's stream. No stream is under way."""
    FollowFactory.create(follower=ben, followed=author)
    path = f"/tweets/followed/{ben.pk}/stream"
    wait_until(lambda: status(server, path) == 200)
    return path


def status(server: Stack, path: str) -> int:
    """Return the status of a stream that is given up at once."""
    with Streamer(server.address, path) as stream:
        return stream.open().status


def has_begun(stream: Streamer) -> bool:
    return stream.last_id != ""


def has_any(stream: Streamer) -> bool:
    return bool(stream.given)


def begun(server: Stack, path: str) -> Raw:
    """Return a connection on which a stream has begun."""
    raw = Raw(server.address).get(path)
    while raw.file.readline() != b"\r\n":
        pass
    return raw


def test_beyond_the_bound_streams_get_a_503_until_others_end(server: Stack, path: str) -> None:
    streams = [Streamer(server.address, path).open() for _ in range(MOST)]
    answer = httpx.get(server.address + path, timeout=30)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json() == {"detail": "The server has too many streams."}
    for stream in streams:
        stream.close()
    wait_until(lambda: status(server, path) == 200)


def test_heads_and_errors_count_as_no_streams(server: Stack, path: str) -> None:
    for _ in range(2 * MOST):
        assert httpx.head(server.address + path, timeout=30).status_code == 200
        assert httpx.get(f"{server.address}{path}?after=!", timeout=30).status_code == 400
        assert (
            httpx.get(f"{server.address}/tweets/followed/{2**31}/stream", timeout=30).status_code
            == 404
        )
    assert status(server, path) == 200


@pytest.mark.parametrize("leave", [Raw.close, Raw.reset])
@pytest.mark.parametrize("then", [b"", b"GE"])
def test_a_stream_whose_client_leaves_counts_no_more(
    server: Stack, path: str, leave: Callable[[Raw], None], then: bytes
) -> None:
    for _ in range(MOST):
        leave(begun(server, path).send(then))
    wait_until(lambda: status(server, path) == 200)


@pytest.mark.parametrize("leave", [Raw.close, Raw.reset])
@pytest.mark.parametrize("pause_seconds", [0, 0.1])
def test_a_client_that_has_sent_another_request_and_leaves_is_noticed_at_the_next_events(
    server: Stack, path: str, author: User, leave: Callable[[Raw], None], pause_seconds: float
) -> None:
    for _ in range(MOST):
        raw = Raw(server.address).get(path)
        time.sleep(pause_seconds)
        raw.get("/tweets")
        time.sleep(0.1)
        leave(raw)

    def counts_no_more() -> bool:
        TweetFactory.create(author=author)
        deliver_all()
        return status(server, path) == 200

    wait_until(counts_no_more, pause_seconds=0.1)


def test_a_client_that_sends_no_more_gets_no_stream(server: Stack, path: str) -> None:
    with Streamer(server.address, path) as stream:
        stream.open(half_closes=True)
        assert stream.status == 200
        stream.read_until_over()


def test_sigterm_ends_streams_and_spreads_their_return(
    stack: Stack, ben: User, alyssa: User
) -> None:
    FollowFactory.create(follower=ben, followed=alyssa)
    path = f"/tweets/followed/{ben.pk}/stream"
    stack.start_web()
    streams = [Streamer(stack.address, path).open() for _ in range(10)]
    for stream in streams:
        stream.read_until(partial(has_begun, stream))
    pipelined = begun(stack, path).get("/tweets")
    tweet = TweetFactory.create(author=alyssa).pk
    deliver_all()
    started = time.monotonic()
    process = stack.children["web"].process
    process.send_signal(signal.SIGTERM)
    for stream in streams:
        stream.retry_milliseconds = 0
        stream.read_until_over()
    process.wait(30)
    print(f"a server with streams stops within {time.monotonic() - started:.1f} s")
    waits = [stream.retry_milliseconds for stream in streams]
    assert min(waits) >= 1_000
    assert max(waits) - min(waits) > 1_000
    with pipelined:
        assert pipelined.file.read().count(b"retry: ") == 2  # it ends with the process
    stack.start_web()
    for stream in streams:
        stream.address = stack.address
        if not stream.given:
            stream.open().read_until(partial(has_any, stream))
        assert [*stream.given] == [tweet]
        stream.close()


class Slow:
    """A client that reads nothing, or too little."""

    def __init__(self) -> None:
        self.cut_off = asyncio.Event()
        self.transport = self

    def abort(self) -> None:
        """End like a connection: the source is told, and what is under way is dropped."""
        self.source.stop()
        self.cut_off.set()

    def begin(self, source: "Endless") -> None:
        self.source = source

    async def send(self, message: Any) -> None:
        """Take the headers, and never the end of a part."""
        if message["type"] == "http.response.body":
            await self.cut_off.wait()


class Endless:
    """A source that always has another part."""

    is_stopped = is_closed = False

    def __aiter__(self) -> "Endless":
        return self

    async def __anext__(self) -> bytes:
        if self.is_stopped:
            raise StopAsyncIteration
        return b": heartbeat\n\n"

    def stop(self) -> None:
        self.is_stopped = True

    def close(self) -> None:
        self.is_closed = True


def test_a_client_that_does_not_read_what_it_is_sent_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "UNREAD_SECONDS", 0.05)
    client, source = Slow(), Endless()
    scope: Any = {"state": {"connection": client}}
    started = time.monotonic()
    asyncio.run(messages.Stream(200, [], source).send(scope, client.send))
    assert client.cut_off.is_set()
    assert source.is_closed
    assert time.monotonic() - started < 5
