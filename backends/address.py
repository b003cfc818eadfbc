"""Where a Redis or Valkey server listens."""

import re
import socket
import ssl
from typing import NamedTuple
from urllib.parse import quote

from redis.connection import parse_url

TAKES = "redis://[[user]:password@]host[:port][/database], or rediss:// for TLS"
CLUSTER_TAKES = "valkey-cluster://[[user]:password@]host:port,host:port,..., or valkeys-cluster://"
_TLS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"}
_KNOWN = {"host", "port", "db", "username", "password", "connection_class"}


class Address(NamedTuple):
    """A server's address and credentials. `tls` is None for a plain connection."""

    host: str
    port: int
    database: int
    credentials: tuple[str, ...]  # the arguments of AUTH; empty without a password
    tls: ssl.SSLContext | None

    @property
    def node(self) -> str:
        """The name of the server in metrics."""
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Parse a URL with redis-py, so that it means the same to Celery.

        The query of a rediss:// URL may set ssl_ca_certs, ssl_certfile, ssl_keyfile, and
        ssl_cert_reqs=none. Raises ValueError, whose text never contains the URL.
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


def with_password(url: str, password: str) -> str:
    """Return a Redis URL without credentials with the password, and any other URL unchanged."""
    found = re.fullmatch(r"(rediss?://|valkeys?-cluster://)([^@/?]*(?:[/?].*)?)", url)
    return f"{found[1]}:{quote(password, safe='')}@{found[2]}" if found else url


def is_cluster(url: str) -> bool:
    """Return whether it is the URL of a cluster."""
    return url.startswith(("valkey-cluster:", "valkeys-cluster:"))


def parse_cluster(url: str) -> list[Address]:
    """Parse valkey-cluster://[[user]:password@]host:port,host:port (valkeys-cluster:// with TLS).

    Return the address of each host. The query may set what Address.parse takes. Raises ValueError.
    """
    found = re.fullmatch(r"valkey(s?)-cluster://([^/?@]*@)?([^/?@]+)/?(\?.*)?", url)
    if not found:
        raise ValueError
    tls, credentials, hosts, query = found.groups(default="")
    scheme = "rediss" if tls else "redis"
    return [
        Address.parse(f"{scheme}://{credentials}{host.strip()}{query}") for host in hosts.split(",")
    ]


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
