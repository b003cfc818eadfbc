"""Load: requests to the application in this process, to a web server, and pushes to Valkey."""

import http.client
import io
import multiprocessing
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing.connection import Connection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from timelines.lists.changes import Change, pack
from timelines.lists.entries import Entry

FORKS = multiprocessing.get_context("fork")


class Call(NamedTuple):
    method: str
    path: str
    body: bytes = b""
    token: str = ""


@cache
def application() -> Callable[..., Any]:
    """Return the WSGI application that a web server would serve."""
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def in_process(call: Call) -> bytes:
    """Call the whole WSGI application with the request and return the response's body."""
    environ = {
        "REQUEST_METHOD": call.method,
        "PATH_INFO": call.path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(call.body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(call.body),
        "wsgi.errors": sys.stderr,
    }
    if call.token:
        environ["HTTP_AUTHORIZATION"] = f"Token {call.token}"
    statuses: list[str] = []
    response = application()(environ, lambda status, headers: statuses.append(status))
    body = b"".join(response)
    response.close()
    assert statuses[0].startswith("20"), (call, statuses, body)
    return body


def over_http(link: http.client.HTTPConnection, call: Call) -> bytes:
    """Send the request over the persistent connection and return the response's body."""
    link.request(call.method, call.path, call.body, {"Content-Type": "application/json"})
    response = link.getresponse()
    body = response.read()
    assert response.status in {200, 201}, (call, response.status, body)
    return body


def connect(address: str) -> http.client.HTTPConnection:
    """Return a connection to the web server at that URL. It opens with the first request."""
    url = urlsplit(address)
    assert url.hostname
    return http.client.HTTPConnection(url.hostname, url.port)


def seconds_a_request(
    address: str, calls: Sequence[Call], *, clients: int = 8, seconds: float = 2.0
) -> float:
    """Return the seconds per request, all clients taken together.

    Each client is a process that repeats the calls for `seconds`, one request at a time.
    """
    reports = []
    for number in range(clients):
        here, there = FORKS.Pipe()
        turned = [*calls[number % len(calls) :], *calls[: number % len(calls)]]
        arguments = (there, address, turned, seconds)
        FORKS.Process(target=_repeat, args=arguments, daemon=True).start()
        there.close()  # so that recv() fails if the client dies
        reports.append(here)
    return seconds / sum(int(here.recv()) for here in reports)


def _repeat(report: Connection, address: str, calls: Sequence[Call], seconds: float) -> None:
    link = connect(address)
    done, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        over_http(link, calls[done % len(calls)])
        done += 1
    report.send(done)


class Ceiling:
    """Valkey's highest push rate: two client processes only send commands packed beforehand."""

    def __init__(self, redis_url: str, follower_ids: Sequence[int]) -> None:
        self.pipes = []
        for share in (follower_ids[::2], follower_ids[1::2]):
            packed = b"".join(pack(Change(Entry(2_000_000, 700_000), share)))
            here, there = FORKS.Pipe()
            arguments = (there, redis_url, packed, len(share))
            FORKS.Process(target=_push, args=arguments, daemon=True).start()
            there.close()
            self.pipes.append(here)

    def seconds(self) -> float:
        """Push one entry onto all lists and return the seconds that it took."""
        started = time.perf_counter()
        for pipe in self.pipes:
            pipe.send("push")
        for pipe in self.pipes:
            pipe.recv()
        return time.perf_counter() - started


def _push(orders: Connection, redis_url: str, packed: bytes, replies: int) -> None:
    url = urlsplit(redis_url)
    link = socket.create_connection((url.hostname, url.port))
    link.sendall(f"AUTH {url.password}\r\n".encode())
    assert link.recv(100) == b"+OK\r\n"
    while True:
        orders.recv()
        link.sendall(packed)
        left = replies  # each reply is one line
        while left:
            left -= link.recv(1 << 20).count(b"\n")
        orders.send("done")
