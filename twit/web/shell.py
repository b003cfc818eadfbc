"""Runs a WSGI application behind an ASGI server, in threads of its own."""

import io
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIApplication, WSGIEnvironment

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

from api.paths import PROBES
from api.streams import StreamResponse
from twit.web import bodies
from twit.web.messages import Refused, Response, Stream
from twit.web.threads import Threads

THREADS = 4
MAX_WAITING = 100  # requests for a thread
WAIT_SECONDS = 2.0  # for a thread
RETRY_AFTER_SECONDS = 1


class Shell:
    """An ASGI application. A request reaches `application` once its whole body has arrived.

    The threads live as long as the process, because each has its own connections to Postgres and
    Valkey. Each probe has a thread of its own, so that one that waits does not hold up another.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self.application = application
        self.requests = Lane(THREADS)
        self.probes = {path: Lane(1) for path in PROBES}

    async def __call__(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve a request. Raises Refused."""
        body = await bodies.read(scope, receive)
        lane = self.probes.get(scope["path"], self.requests)
        response = await lane.serve(scope, lambda: call(self.application, environ(scope, body)))
        await response.send(scope, send)


class Lane:
    """Threads, and the requests that wait for them."""

    def __init__(self, threads: int) -> None:
        self.size = threads
        self.threads = Threads(threads)
        self.under_way = 0

    async def serve(
        self, scope: HTTPScope, serve: Callable[[], Response | Stream]
    ) -> Response | Stream:
        """Return what `serve` returns in a thread. Raises Refused if too many requests wait."""
        if self.under_way >= self.size + MAX_WAITING:
            raise overloaded()
        self.under_way += 1
        has_to_wait = self.under_way > self.size and not has_ended(scope)
        latest = time.monotonic() + WAIT_SECONDS

        def respond() -> Response | Stream:
            """Raises Refused if the request waited too long or the client left."""
            if has_to_wait and (has_ended(scope) or time.monotonic() > latest):
                raise overloaded()
            return serve()

        try:
            return await self.threads.call(respond)
        finally:
            self.under_way -= 1


def has_ended(scope: HTTPScope) -> bool:
    """Return whether the client has closed the connection, or its side of it."""
    return "has_ended" in scope["state"]


def overloaded() -> Refused:
    """Return the error of a request that gets no thread."""
    return Refused(503, "The server is overloaded.", retry_after=str(RETRY_AFTER_SECONDS))


def environ(scope: HTTPScope, body: bytes) -> WSGIEnvironment:
    """Return the WSGI environment of the request.

    Headers with underscores are dropped: WSGI can't tell `Content_Type` from `Content-Type`.
    """
    found: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if scope["server"]:
        found["SERVER_NAME"], found["SERVER_PORT"] = scope["server"][0], str(scope["server"][1])
    if scope["client"]:
        found["REMOTE_ADDR"] = scope["client"][0]
    for name, value in scope["headers"]:
        if b"_" in name or name in (b"content-length", b"transfer-encoding"):
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        text = value.decode("latin-1")
        if key in found:
            separator = "; " if key == "HTTP_COOKIE" else ","
            text = f"{found[key]}{separator}{text}"
        found[key] = text
    found.setdefault("HTTP_HOST", "")  # an error; without it Django would take SERVER_NAME
    return found


def call(application: WSGIApplication, environ: WSGIEnvironment) -> Response | Stream:
    """Return the application's whole response, or its stream."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started[:] = status, headers

    parts: Iterable[bytes] = application(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    status, headers = int(started[0][:3]), started[1]
    if isinstance(parts, StreamResponse):
        headers = [(name, value) for name, value in headers if name != "Content-Length"]
    elif "Content-Length" not in dict(headers) and status not in (204, 304):
        headers = [*headers, ("Content-Length", str(len(body)))]
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if isinstance(parts, StreamResponse) and parts.source:
        return Stream(status, encoded, parts.source)
    return Response(status, encoded, body)
