"""The Redis server: connections to it, its scripts, and what it means when it does not answer."""

import os
import select
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from hiredis import pack_command
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.backoff import NoBackoff
from redis.retry import Retry

from timelines.breaker import Breaker

LUA = Path(__file__).parent / "lua"
# A reader waits this long at most, once an interval; workers, who send a round's pushes, longer.
READ_SECONDS = 0.3
PUSH_SECONDS = 5.0
BREAKER_SECONDS = 2.0

breaker = Breaker(BREAKER_SECONDS)
_threads = threading.local()


class Unavailable(Exception):
    """Redis is away, frozen, out of memory or otherwise refuses. Nothing was believed or lost."""


@cache
def client(timeout_seconds: float = READ_SECONDS) -> redis.Redis:
    """The process's Redis client; it connects at its first command, and again after a fork.

    It does not retry: pages and rounds each know better what to do instead. Raises
    ImproperlyConfigured when no server is known.
    """
    if not settings.REDIS_URL:
        raise ImproperlyConfigured(settings.NO_SERVERS)
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # replies and nothing else: `ask` is not ready for push messages
        redis_connect_func=_connect,
    )


@contextmanager
def reaching() -> Iterator[None]:
    """Say Unavailable for whatever Redis answers when it can't serve, and spare it for a while."""
    if not breaker.lets_through():
        raise Unavailable("Redis was away a moment ago")
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        breaker.trip()
        raise Unavailable(str(error)) from error
    except redis.ResponseError as error:  # it is there, and out of memory, read-only, ...
        breaker.reset()
        raise Unavailable(str(error)) from error
    breaker.reset()


def _connect(connection: Any) -> None:
    """Shake hands, learn which server process this connection talks to, and bring the scripts."""
    connection.on_connect()
    connection.send_command("INFO", "server")
    lines = bytes(connection.read_response()).splitlines()
    connection.run_id = next(line for line in lines if line.startswith(b"run_id:"))[7:]
    connection.scripts = {}
    for file in LUA.glob("*.lua"):
        connection.send_command("SCRIPT", "LOAD", file.read_bytes())
        connection.scripts[file.stem] = connection.read_response()


@contextmanager
def connection(to: redis.Redis) -> Iterator[Any]:
    """This thread's connection of that client, to pack for by hand. Raises Unavailable."""
    with reaching():
        link = _link(to)
        try:
            yield link
        except BaseException:
            link.disconnect()  # unread replies must not answer the next command
            raise


def _link(to: redis.Redis) -> Any:
    # One a thread and process: a pool's bookkeeping for each command takes 40 us of a page.
    links: dict[Any, Any] = vars(_threads)
    owner = os.getpid(), to
    if owner not in links:
        links[owner] = to.connection_pool.make_connection()
    link = links[owner]
    if link.is_connected and _has_ended(link):
        link.disconnect()
    if not link.is_connected:
        link.connect()
    return link


def _has_ended(link: Any) -> bool:
    # Nothing was asked: a server that is there has nothing to say, one that left has hung up.
    poll = select.poll()
    poll.register(link._sock, select.POLLIN)
    return bool(poll.poll(0))


def ask(
    link: Any, *commands: tuple[Any, ...], meanwhile: Callable[[], None] | None = None
) -> list[Any]:
    """The replies to the commands, sent as one buffer. Raises the first error among them.

    `meanwhile` is called between the sending and the waiting.
    """
    link.send_packed_command([b"".join(map(pack_command, commands))])
    if meanwhile:
        meanwhile()
    answers = list(replies(link, len(commands)))
    for answer in answers:
        if isinstance(answer, redis.RedisError):
            raise answer
    return answers


def replies(link: Any, count: int) -> Iterator[Any]:
    """The next replies on the connection; errors are values here.

    What the connection's own read_response does, less its layers, which take 20 us a reply
    where the processor's caches are cold: a tenth of a page's time.
    """
    parser = link._parser
    for _ in range(count):
        while (reply := parser._reader.gets()) is NOT_ENOUGH_DATA:
            parser.read_from_socket()
        yield reply


def script(link: Any, name: str, keys: Sequence[str], *arguments: Any) -> tuple[Any, ...]:
    """The command, for `ask`, that runs the Lua script of that name."""
    return ("EVALSHA", link.scripts[name], len(keys), *keys, *arguments)
