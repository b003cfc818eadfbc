"""Server-sent events: responses that last.

The format is that of the HTML standard: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import AsyncIterator
from typing import Protocol

from django.http import HttpResponse

MEDIA_TYPE = "text/event-stream"


class Source(Protocol):
    """What a stream sends, part by part. An event loop iterates over it."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    def stop(self) -> None:
        """End it soon, because the server is about to stop."""

    def close(self) -> None:
        """End it now, because the client has gone or everything has been sent."""


class StreamResponse(HttpResponse):
    """The headers of a stream. The web server sends them, and then what the source yields."""

    def __init__(self, source: Source | None) -> None:
        """Make the response to a GET, or without a source to a HEAD."""
        unbuffered = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second: nginx
        super().__init__(headers=unbuffered, content_type=MEDIA_TYPE)
        self.source = source


def event(name: str, data: bytes, last_id: object = None) -> bytes:
    """Return an event. `data` is JSON, and so without line breaks."""
    return b"%sevent: %s\ndata: %s\n\n" % (_id(last_id), name.encode(), data)


def place(last_id: object) -> bytes:
    """Return an id without an event. The client resumes from it."""
    return _id(last_id) + b"\n"


def settings(*, retry_milliseconds: int, last_id: object = None) -> bytes:
    """Return how long a client waits before it reconnects, and the id that it resumes from."""
    return b"retry: %d\n%s\n" % (retry_milliseconds, _id(last_id))


def _id(last_id: object) -> bytes:
    return f"id: {last_id}\n".encode() if last_id else b""
