"""A client of a stream: it reads server-sent events as browsers do, and comes back."""

import json
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import httptools


class Event(NamedTuple):
    """An event with data."""

    name: str
    data: Any


class Streamer(AbstractContextManager["Streamer"]):
    """Reads one stream. It may disconnect at any byte: then an event that is incomplete is lost.

    It comes back with the last id, perhaps to another server.
    """

    def __init__(self, address: str, path: str, *headers: str) -> None:
        self.address, self.path, self._headers = address, path, headers
        self.last_id = ""
        self.retry_milliseconds = 0
        self.comments = 0
        self.events: list[Event] = []
        self.given: Counter[int] = Counter()
        self.gone: set[int] = set()
        self.socket: socket.socket | None = None
        self.close()

    def open(self, *, half_closes: bool = False) -> Self:
        """Connect, and read the status and the headers. Raises OSError."""
        self.close()
        at = urlsplit(self.address)
        self.socket = self.connect(at.hostname or "", at.port or 80)
        lines = [f"GET {self.path} HTTP/1.1", "Host: localhost", *self._headers]
        if self.last_id:
            lines.append(f"Last-Event-ID: {self.last_id}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        if half_closes:
            self.socket.shutdown(socket.SHUT_WR)
        while not self.status and not self.is_over:
            self.read(30, 100)
        return self

    def connect(self, host: str, port: int) -> socket.socket:
        """Return a new connection. Raises OSError."""
        return socket.create_connection((host, port), 30)

    def read(self, seconds: float = 30, most_bytes: int = 65_536) -> None:
        """Take in what arrives within that time, if anything does."""
        assert self.socket
        self.socket.settimeout(seconds)
        try:
            arrived = self.socket.recv(most_bytes)
        except TimeoutError:
            return
        except ConnectionResetError:
            arrived = b""
        self.is_over |= not arrived
        self._parser.feed_data(arrived)

    def read_until(
        self, condition: Callable[[], object], seconds: float = 30, most_bytes: int = 65_536
    ) -> float:
        """Read until the condition is true. Return the seconds that it took."""
        started = time.monotonic()
        while not condition():
            passed = time.monotonic() - started
            assert passed < seconds, f"not within {seconds} s: {self.events[-5:]}"
            assert not self.is_over, f"the stream has ended: {self.events[-5:]}"
            self.read(seconds - passed, most_bytes)
        return time.monotonic() - started

    def read_until_over(self, seconds: float = 30) -> float:
        """Read until the server ends the stream. Return the seconds that it took."""
        started = time.monotonic()
        while not self.is_over:
            left = seconds + started - time.monotonic()
            assert left > 0, f"the stream has not ended within {seconds} s"
            self.read(left)
        return time.monotonic() - started

    def repetitions(self) -> int:
        """Return how often a tweet was given that had been given before."""
        return self.given.total() - len(self.given)

    def close(self) -> None:
        """Disconnect. What has not arrived as a whole does not count."""
        if self.socket:
            self.socket.close()
        self._parser = httptools.HttpResponseParser(self)
        self._text = b""
        self.socket, self.status, self.is_over = None, 0, False
        self.headers: dict[str, str] = {}

    def __exit__(self, *exception: object) -> None:
        self.close()

    # What httptools calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        self.is_over = True

    def on_body(self, body: bytes) -> None:
        *blocks, self._text = (self._text + body).split(b"\n\n")
        for block in blocks:
            self._dispatch(block.decode())

    def _dispatch(self, block: str) -> None:
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        self.comments += "" in fields
        self.last_id = fields.get("id", self.last_id)
        self.retry_milliseconds = int(fields.get("retry", self.retry_milliseconds))
        if "data" not in fields:
            return
        event = Event(fields["event"], json.loads(fields["data"]))
        self.events.append(event)
        if event.name == "tweet":
            self.given[int(event.data["id"])] += 1
        else:
            self.gone.add(int(event.data["id"]))
