"""Clients that keep many streams open."""

import selectors
import socket
import time
from collections.abc import Iterable, Sequence
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

from benchmarks import load

OPENED_AT_ONCE = 50


class Clients:
    """A process that keeps a stream for each reader, and notes when tweets arrive."""

    def __init__(self, address: str, readers: Sequence[int]) -> None:
        self._pipe, there = load.FORKS.Pipe()
        self._process = load.FORKS.Process(
            target=_receive, args=(there, address, readers), daemon=True
        )
        self._process.start()
        there.close()
        self._pipe.recv()

    def arrivals(self, expected: int, seconds: float = 30.0) -> list[float]:
        """Return when each of the expected events arrived, on the clock of time.monotonic().

        If some are missing after that many seconds, it returns the others.
        """
        self._pipe.send((expected, seconds))
        found: list[float] = self._pipe.recv()
        return found

    def stop(self) -> None:
        self._process.kill()
        self._process.join()


def _receive(pipe: Connection, address: str, readers: Sequence[int]) -> None:
    url = urlsplit(address)
    selector = selectors.DefaultSelector()
    selector.register(pipe, selectors.EVENT_READ)
    links = []
    for place, reader in enumerate(readers):
        link = socket.create_connection((url.hostname, url.port))
        link.sendall(b"GET /tweets/followed/%d/stream HTTP/1.1\r\nHost: localhost\r\n\r\n" % reader)
        links.append(link)
        if place % OPENED_AT_ONCE == 0:
            _until_open(links)
            links = []
        selector.register(link, selectors.EVENT_READ)
    _until_open(links)
    pipe.send(None)
    found: list[float] = []
    expected, deadline = -1, 0.0
    while True:
        for key, _ in selector.select(0.1):
            if key.fileobj is pipe:
                expected, seconds = pipe.recv()
                deadline = time.monotonic() + seconds
            elif isinstance(key.fileobj, socket.socket):
                events = key.fileobj.recv(65_536).count(b"event: tweet")
                found += [time.monotonic()] * events
        if expected >= 0 and (len(found) >= expected or time.monotonic() > deadline):
            pipe.send(found)
            found, expected = [], -1


def _until_open(links: Iterable[socket.socket]) -> None:
    for link in links:
        received = b""
        while b"retry: " not in received:
            received += link.recv(4096)
        assert received.startswith(b"HTTP/1.1 200"), received
