"""A request and its response: its id, and its line in the access log."""

import logging
import re
import time
from collections.abc import Iterable

from asgiref.typing import ASGISendCallable, ASGISendEvent, HTTPScope
from django.http import HttpRequest
from rest_framework.settings import api_settings

from api import logs
from api.addresses import client_address
from api.paths import PROBES

REQUEST_ID = b"x-request-id"
WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
log = logging.getLogger("twit.requests")


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that a trusted proxy gave the request, or a new one."""
    if api_settings.NUM_PROXIES:
        given = [value for name, value in headers if name == REQUEST_ID]
        if len(given) == 1 and WELL_FORMED.fullmatch(given[0]):
            return given[0].decode()
    return logs.new_id()


class Exchange:
    """A request that is being served. `send` sends its response, and `end` logs it.

    A stream is logged when it opens too. Probes are not logged.
    """

    __slots__ = (
        "_is_logged",
        "_is_stream",
        "_scope",
        "_send",
        "cause",
        "size",
        "started",
        "status",
    )

    def __init__(self, scope: HTTPScope, send: ASGISendCallable) -> None:
        self._scope, self._send = scope, send
        connection = (scope["state"] or {}).get("connection")
        is_on = connection is not None and connection.config.access_log
        self._is_logged = is_on and scope["path"] not in PROBES
        self._is_stream = False
        self.started = time.monotonic()
        self.status: int | None = None  # stays None if the client leaves early
        self.size = 0  # bytes of the body
        self.cause = logs.Cause(request_id(scope["headers"]))
        logs.cause.set(self.cause)  # each request has a task, and so a context, of its own

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            name = (REQUEST_ID, self.cause.request_id.encode())
            message["headers"] = [*message["headers"], name]
        elif message["type"] == "http.response.body":
            self.size += len(message["body"])
            if message["more_body"] and not self._is_stream:
                self._is_stream = True
                self._log("opens")
        await self._send(message)

    def end(self) -> None:
        """Log the request, whose response was sent or given up."""
        self._log("ends" if self._is_stream else "")

    def _log(self, stream: str) -> None:
        if not self._is_logged:
            return
        found = {
            "method": self._scope["method"],
            "path": path(self._scope),
            "status": self.status,
            "bytes": self.size,
            "seconds": round(time.monotonic() - self.started, 4),
            "address": address(self._scope),
        }
        if stream:
            found["stream"] = stream
        log.info(
            '%(address)s "%(method)s %(path)s" %(status)s, %(bytes)s bytes, %(seconds)s s'
            + (", stream %(stream)s" if stream else ""),
            found,
            extra=found,
        )


def path(scope: HTTPScope) -> str:
    """Return the path and the query as they were sent, cut to the length of a log line."""
    query = scope["query_string"]
    sent = (scope["raw_path"] + (b"?" + query if query else b""))[: logs.MOST_CHARS]
    return sent.decode("ascii", "backslashreplace").replace('"', "%22")


def address(scope: HTTPScope) -> str:
    """Return the address of the client."""
    request = HttpRequest()
    if scope["client"]:
        request.META["REMOTE_ADDR"] = scope["client"][0]
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    if forwarded:
        request.META["HTTP_X_FORWARDED_FOR"] = b",".join(forwarded).decode("latin-1")
    return str(client_address(request) or "unknown")
