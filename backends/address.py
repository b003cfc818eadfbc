"""Where a Redis or Valkey server listens."""

import re
import socket
import ssl
from typing import NamedTuple

from redis.connection import parse_url

TAKES = "redis://[[user]:password@]host[:port][/database], or rediss:// for TLS"
_TLS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"}
_KNOWN = {"host", "port", "db", "username", "password", "connection_class"}


class Address(NamedTuple):
    """A server's address and credentials. `tls` is None for a plain connection."""

    host: str
    port: int
    database: int
    credentials: tuple[str, ...]  # the arguments of AUTH; empty without a password
    tls: ssl.SSLContext | None

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Parse a URL with redis-py, so that it means the same to Celery.

        The query of a rediss:// URL may set ssl_ca_certs, ssl_certfile, ssl_keyfile, and
        ssl_cert_reqs=none. Raises ValueError, which never quotes the URL and its password.
        """
        if not re.match(r"rediss?://[^/]*(/\d*)?(\?|$)", url):
            raise ValueError
        has_tls = url.startswith("rediss")
        parts = parse_url(url)
        if unknown := parts.keys() - _KNOWN - (_TLS if has_tls else set()):
            raise ValueError(f"the option {min(unknown)} is unknown")
        names = ("username", "password") if "username" in parts else ("password",)
        return cls(
            host=parts.get("host", "localhost"),
            port=parts.get("port", 6379),
            database=parts.get("db", 0),
            credentials=tuple(parts[name] for name in names if "password" in parts),
            tls=_tls(**{name: parts[name] for name in parts.keys() & _TLS}) if has_tls else None,
        )

    def connect(self, timeout_seconds: float) -> socket.socket:
        """Return a connected socket, encrypted if the URL asks for it. Raises OSError."""
        plain = socket.create_connection((self.host, self.port), timeout_seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is None:
            return plain
        with plain:  # closed unless the handshake succeeds, which detaches it
            return self.tls.wrap_socket(plain, server_hostname=self.host)


def _tls(
    ssl_ca_certs: str | None = None,
    ssl_certfile: str | None = None,
    ssl_keyfile: str | None = None,
    ssl_cert_reqs: str = "required",
) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ssl_ca_certs)
        if ssl_certfile:
            context.load_cert_chain(ssl_certfile, ssl_keyfile)
    except OSError as error:
        raise ValueError(f"its certificate files can't be loaded: {error}") from error
    if ssl_cert_reqs not in {"none", "required"}:
        raise ValueError("ssl_cert_reqs is neither none nor required")
    if ssl_cert_reqs == "none":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
