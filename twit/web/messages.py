"""What passes between the event loop and the threads."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from asgiref.typing import ASGISendCallable


class Response(NamedTuple):
    """A whole response."""

    status: int
    headers: Iterable[tuple[bytes, bytes]]
    body: bytes

    async def send(self, send: ASGISendCallable) -> None:
        """Send it to an ASGI server."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": self.headers,
                "trailers": False,
            }
        )
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


class Refused(Exception):
    """A request that Django never sees. It gets an error of the API's shape."""

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
