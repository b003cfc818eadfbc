"""Where a Redis or Valkey server listens, parsed from its URL."""

import re
import socket
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from redis.connection import parse_url

TAKES = "redis://[[user]:password@]host[:port][/database], or rediss:// for TLS"
_VERIFY_MODES = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_TLS_OPTIONS = frozenset(
    ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
)


class Address(NamedTuple):
    """A server's address and credentials. `tls` is None for a plain connection."""

    host: str
    port: int
    database: int
    credentials: tuple[str, ...]  # the arguments of AUTH; empty without a password
    tls: ssl.SSLContext | None

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Parse a URL. redis-py reads it, so it means what it means to Celery.

        With rediss:// the query may set ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_cert_reqs
        (none, optional or required) and ssl_check_hostname. Raises ValueError, whose text never
        quotes the URL, because it may hold a password.
        """
        scheme, path = url.partition("://")[0], urlsplit(url).path
        if scheme not in {"redis", "rediss"} or not re.fullmatch(r"/?\d*", path):
            raise ValueError(f"the form is {TAKES}")
        parts = parse_url(url)
        options = {name: value for name, value in parts.items() if name.startswith("ssl_")}
        known = {"host", "port", "db", "username", "password", "connection_class"}
        allowed = known | _TLS_OPTIONS if scheme == "rediss" else known
        if unknown := sorted(parts.keys() - allowed):
            raise ValueError(f"the option {unknown[0]} is unknown for {scheme}://")
        password = parts.get("password")
        named = (parts["username"], password) if parts.get("username") else (password,)
        return cls(
            host=parts.get("host", "localhost"),
            port=parts.get("port", 6379),
            database=parts.get("db", 0),
            credentials=named if password else (),
            tls=_context(options) if scheme == "rediss" else None,
        )

    def connect(self, timeout_seconds: float) -> socket.socket:
        """Return a connected socket, with TLS established where it is used. Raises OSError."""
        plain = socket.create_connection((self.host, self.port), timeout_seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is None:
            return plain
        try:
            return self.tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def _context(options: Mapping[str, str]) -> ssl.SSLContext:
    verify_mode = options.get("ssl_cert_reqs", "required")
    if verify_mode not in _VERIFY_MODES:
        raise ValueError(f"ssl_cert_reqs must be one of {', '.join(_VERIFY_MODES)}")
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except OSError as error:
        raise ValueError(f"its certificate files can't be loaded: {error.strerror}") from error
    checks_host = options.get("ssl_check_hostname", verify_mode != "none")
    context.check_hostname = bool(checks_host)
    context.verify_mode = _VERIFY_MODES[verify_mode]
    return context
