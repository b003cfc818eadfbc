"""A TCP connection that sends exactly the bytes that it is given."""

import json
import socket
import struct
from contextlib import AbstractContextManager
from http.client import parse_headers
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Reply(NamedTuple):
    """A response. `body` is parsed if it is JSON."""

    status: int
    headers: dict[str, str]
    body: Any


class Raw(AbstractContextManager["Raw"]):
    """A connection to the server at `address`."""

    def __init__(self, address: str, seconds: float = 30) -> None:
        parts = urlsplit(address)
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 80), seconds)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> "Raw":
        self.socket.sendall(data)
        return self

    def post(
        self,
        path: str,
        body: bytes,
        *headers: str,
        kind: str = "application/json",
        length: int | None = None,
    ) -> "Raw":
        """Send a POST whose Content-Length is `length`, by default that of the body."""
        length = len(body) if length is None else length
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", *headers]
        if not any(line.startswith("Transfer-Encoding") for line in headers):
            lines.append(f"Content-Length: {length}")
        return self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def get(self, path: str, *headers: str) -> "Raw":
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
        return self.send("\r\n".join(lines).encode())

    def half_close(self) -> "Raw":
        """Tell the server that nothing more is sent, and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def reply(self) -> Reply:
        """Read one response."""
        if not (line := self.file.readline()):
            raise ConnectionError("the server closed the connection without a response")
        headers = {name.lower(): value for name, value in parse_headers(self.file).items()}
        body = self._body(headers)
        is_json = headers.get("content-type") == "application/json"
        return Reply(int(line.split()[1]), headers, json.loads(body) if is_json else body)

    def _body(self, headers: dict[str, str]) -> bytes:
        if "transfer-encoding" not in headers:
            return self.file.read(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self.file.readline(), 16):
            body += self.file.read(size)
            self.file.readline()
        self.file.readline()
        return body

    def is_closed(self) -> bool:
        """Return whether the server has closed the connection. Wait for it or for more data."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def reset(self) -> None:
        """Close the connection as a client that crashed does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def __exit__(self, *exception: object) -> None:
        self.close()
