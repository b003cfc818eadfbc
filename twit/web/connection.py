"""uvicorn's HTTP connection, with the bounds that uvicorn leaves to a proxy."""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api import logs
from api.streams import Source
from backends import metrics
from twit.web.messages import Refused

MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 10.0
STREAM_STOP_SECONDS = 3.0
MAX_PIPELINED = 500  # requests of one connection that wait for an earlier one


class Connection(HttpToolsProtocol):
    """Closes silent connections and those whose headers are slow or too long.

    A client that sends no more still gets its response. Errors have the API's shape.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.parser = Parser(self)
        self.access_log = False  # twit.web.exchange logs requests, if `config.access_log` is on
        self.unparsed_bytes = 0  # since headers were complete or a part of a body arrived
        self.head_timer: asyncio.TimerHandle | None = None
        self.stream: Source | None = None  # that is under way; `cycle` may be a later request
        self.has_ended = False  # the client sends no more, or has gone
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def data_received(self, data: bytes) -> None:
        self.unparsed_bytes += len(data)
        super().data_received(data)
        if self.unparsed_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.refuse(431, f"The headers are longer than {MAX_HEAD_BYTES:,} bytes.")
        if self.is_busy():
            if self.head_timer is not None:
                self.head_timer.cancel()
                self.head_timer = None
        elif self.head_timer is None:
            # Headers are incomplete, or the rest of a refused body still arrives.
            self.head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def is_busy(self) -> bool:
        """Return whether the headers of a request are complete and its response is not."""
        return self.cycle is not None and not self.cycle.response_complete

    def on_headers_complete(self) -> None:
        self.unparsed_bytes = 0
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            self.cycle.scope["state"]["connection"] = self
            self.headers = []  # takes trailers, which a proxy's rules for headers don't cover
            if len(self.pipeline) > MAX_PIPELINED:  # they take 2 kB each
                raise httptools.HttpParserError("Too many pipelined requests.")

    def on_body(self, body: bytes) -> None:
        self.unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection open while a request is under way, and tell the application.

        Not for a stream, which would be sent to a client that has gone until a write fails.
        """
        self.has_ended = True
        if self.stream or not self.is_busy():
            return False
        self.cycle.keep_alive = False
        self.cycle.scope["state"]["has_ended"] = True
        self.cycle.message_event.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.has_ended = True
        if self.cycle is not None:
            self.cycle.scope["state"]["has_ended"] = True
        if self.stream:
            self.stream.stop()

    def shutdown(self) -> None:
        """Finish, because the server stops. A stream is told to end, and cut off if it does not."""
        super().shutdown()
        if self.stream:
            self.stream.stop()
            self.loop.call_later(STREAM_STOP_SECONDS, self.transport.abort)

    def begin(self, stream: Source) -> None:
        """Record the stream that is sent now. It is stopped when the connection ends."""
        self.stream = stream
        if self.has_ended:
            stream.stop()

    def on_response_complete(self) -> None:
        self.stream = None
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, msg)

    def refuse(self, status: int, detail: str) -> None:
        """Send an error and close the connection."""
        metrics.REFUSED_REQUESTS.labels(status).inc()
        new_id = logs.new_id()
        _, headers, body = Refused(status, detail, connection="close", x_request_id=new_id).response
        fields = [*self.server_state.default_headers, *headers]
        head = b"".join(b"%s: %s\r\n" % field for field in fields)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        self.transport.close()


class Parser(httptools.HttpRequestParser):
    """Ignores `Upgrade`, as RFC 9110 allows. httptools would end such a request at its headers.

    Java's HttpClient asks for an upgrade to HTTP/2 and sends a body.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.connection = connection
        # uvicorn's own choice: a client that said `Connection: close` may send more.
        self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: Any) -> None:
        while data:
            try:
                super().feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = self.without_upgrade() + data[upgrade.args[0] :]

    def without_upgrade(self) -> bytes:
        """Return the start of the request again. Raises HttpParserError if it asks for a tunnel."""
        method, version = self.get_method(), self.get_http_version().encode()
        if method == b"CONNECT":
            raise httptools.HttpParserError("There are no tunnels here.")
        lines = [b"%s %s HTTP/%s" % (method, self.connection.url, version)]
        lines += [b"%s: %s" % field for field in self.connection.headers if field[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])
