"""Load: requests to the application in this process, to a web server, and pushes to Valkey."""

import http.client
import io
import multiprocessing
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing.connection import Connection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings

from timelines.lists.entries import Entry
from timelines.lists.packing import Change, pack

FORKS = multiprocessing.get_context("fork")
CLOSED = {
    "TWIT_OPEN_API": False,
    "TWIT_LIMITS": dict.fromkeys(("requests", "posts"), (10**9, 900)),  # counted, never reached
}


class Call(NamedTuple):
    """A request."""

    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = {}  # as WSGI spells them


def bearer(token: str) -> dict[str, str]:
    """Return the header of a request by token."""
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}


@cache
def application() -> Callable[..., Any]:
    """Return the WSGI application that a web server would serve."""
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def in_process(call: Call) -> bytes:
    """Call the whole WSGI application with the request and return the response's body."""
    return answer(call)[1]


def answer(call: Call) -> tuple[dict[str, str], bytes]:
    """Call the application like `in_process`. Return the response's headers and its body."""
    path, _, query = call.path.partition("?")
    environ = {
        "REQUEST_METHOD": call.method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
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
    environ |= call.headers
    starts: list[tuple[str, list[tuple[str, str]]]] = []
    response = application()(environ, lambda *start: starts.append(start))
    body = b"".join(response)
    response.close()
    [(status, headers)] = starts
    assert status.startswith(("20", "304")), (call, status, body)
    return dict(headers), body


def closed(call: Call) -> bytes:
    """Return the body of the response while the API asks for tokens and counts requests."""
    before = {name: getattr(settings, name) for name in CLOSED}
    try:
        for name, value in CLOSED.items():
            setattr(settings, name, value)
        return in_process(call)
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


def by_wrk(address: str, path: str, *, seconds: float = 2.0) -> float:
    """Return the seconds per request that wrk measures with 16 connections.

    https://github.com/wg/wrk is written in C, so it takes little of the processor's time.
    """
    command = ["wrk", "-t2", "-c16", f"-d{max(1, round(seconds))}s", f"{address}{path}"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in printed, printed
    return 1 / float(re.findall(r"Requests/sec:\s+([\d.]+)", printed)[0])


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
    """The highest push rate: client processes only send commands that were packed beforehand.

    A share is the URL of a server and the ids of followers. One process sends each of them.
    """

    def __init__(self, shares: Sequence[tuple[str, Sequence[int]]]) -> None:
        self.pipes = []
        for url, follower_ids in shares:
            tags = [b"%d" % follower_id for follower_id in follower_ids]
            packed = b"".join(pack(Change(Entry(2_000_000, 700_000), follower_ids), tags))
            here, there = FORKS.Pipe()
            arguments = (there, url, packed, len(follower_ids))
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
