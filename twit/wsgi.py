"""The WSGI entry: `granian --interface wsgi twit.wsgi:application`."""

import ipaddress
import logging
import os
import re
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from api import access
from backends.engine.base import DatabaseWrapper
from backends.engine.patience import REQUEST
from twit.celery import app
from twit.environment import plain_exit

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")


def served_addresses() -> Iterator[str]:
    """Yield the addresses of the server sockets that this process has inherited."""
    for number in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        with suppress(OSError):  # closed by now, no socket, or without an address
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as bound:
                    if bound.family in (socket.AF_INET, socket.AF_INET6) and not has_peer(bound):
                        yield bound.getsockname()[0]


def has_peer(connection: socket.socket) -> bool:
    """Return whether somebody is connected to the socket."""
    with suppress(OSError):
        return bool(connection.getpeername())
    return False


def check_open_api() -> None:
    """Log that the API is open. Raises ImproperlyConfigured if other machines can reach it."""
    logging.getLogger("twit").warning(
        "TWIT_OPEN_API is on: anybody who can reach this server may read, post and delete as "
        "anybody."
    )
    for address in served_addresses():
        if not (settings.TWIT_OPEN_API_ANYWHERE or ipaddress.ip_address(address).is_loopback):
            raise ImproperlyConfigured(
                f"TWIT_OPEN_API is on, and other machines can reach {address}: listen on "
                "127.0.0.1, or set TWIT_OPEN_API_ANYWHERE=on as well if you want that."
            )


def warn_of_endless_redirects() -> None:
    """Log how to configure a proxy, because only this server's own TLS counts without one."""
    if settings.SECURE_SSL_REDIRECT and not settings.SECURE_PROXY_SSL_HEADER:
        logging.getLogger("twit").warning(
            "TWIT_HTTPS is on and TWIT_PROXIES is 0, so X-Forwarded-Proto is ignored. Behind a "
            "proxy that terminates TLS, every request is redirected for ever: set TWIT_PROXIES to "
            "the number of proxies."
        )


DatabaseWrapper.patience = REQUEST
with plain_exit():
    if not (settings.DATABASE_URL and settings.REDIS_URL):
        raise ImproperlyConfigured(settings.NO_SERVERS)
    # A request waits for no broker, because the outbox holds its tweet.
    app.conf.broker_transport_options = {"socket_connect_timeout": 0.3, "socket_timeout": 0.3}
    django_application = get_wsgi_application()
    warn_of_endless_redirects()
    if access.is_open():
        check_open_api()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Serve a request. Bodies are read as UTF-8; Django would fail on a charset such as zlib."""
    content_type = environ.get("CONTENT_TYPE", "")
    if "charset" in content_type.lower():
        environ["CONTENT_TYPE"] = re.sub(r"(?i);\s*charset\s*=[^;]*", "", content_type)
    return django_application(environ, start_response)
