"""What passes between the event loop and the threads."""

import asyncio
import json
from collections.abc import Iterable
from typing import NamedTuple

from asgiref.typing import ASGISendCallable, HTTPScope

from api.streams import Source

UNREAD_SECONDS = 20.0  # then a client that does not read its response is cut off


class Response(NamedTuple):
    """A whole response."""

    status: int
    headers: Iterable[tuple[bytes, bytes]]
    body: bytes

    async def send(self, scope: HTTPScope, send: ASGISendCallable) -> None:
        """Send it to an ASGI server."""
        await start(send, self.status, self.headers)
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


class Stream(NamedTuple):
    """A response that lasts, and whose body comes from a source."""

    status: int
    headers: Iterable[tuple[bytes, bytes]]
    source: Source

    async def send(self, scope: HTTPScope, send: ASGISendCallable) -> None:
        """Send it to twit.web's server, until the source or the client ends it.

        A client that reads too slowly is cut off.
        """
        connection, loop = scope["state"]["connection"], asyncio.get_running_loop()
        connection.begin(self.source)
        try:
            await start(send, self.status, self.headers)
            async for part in self.source:
                unread = loop.call_later(UNREAD_SECONDS, connection.transport.abort)
                await send({"type": "http.response.body", "body": part, "more_body": True})
                unread.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.source.close()


async def start(
    send: ASGISendCallable, status: int, headers: Iterable[tuple[bytes, bytes]]
) -> None:
    """Send the start of a response."""
    await send(
        {"type": "http.response.start", "status": status, "headers": headers, "trailers": False}
    )


class Refused(Exception):
    """A request that never reaches Django. It gets an error of the API's shape."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        body = json.dumps({"detail": detail}).encode()
        fields = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "cache-control": "private, no-cache",
            "vary": "Authorization, Cookie",
        }
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        encoded = [(name.encode(), value.encode()) for name, value in fields.items()]
        self.response = Response(status, encoded, body)


class Gone(Exception):
    """The client has closed the connection."""
