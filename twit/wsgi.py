"""The WSGI entry: `granian --interface wsgi twit.wsgi:application`."""

import ipaddress
import logging
import os
import re
import socket
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from twit.celery import app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")


def served_addresses() -> Iterator[str]:
    """The addresses of the sockets that the server has handed down for this process to serve."""
    for number in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        try:
            is_socket = stat.S_ISSOCK(os.fstat(number).st_mode)
        except OSError:  # closed by now: that of the listing
            continue
        if is_socket:
            with socket.socket(fileno=os.dup(number)) as bound:
                if bound.family in (socket.AF_INET, socket.AF_INET6) and not is_connected(bound):
                    yield bound.getsockname()[0]


def is_connected(connection: socket.socket) -> bool:
    """Whether there is somebody at the other end."""
    try:
        connection.getpeername()
    except OSError:
        return False
    return True


def check_open_api() -> None:
    """Say so if the API is open. Raises ImproperlyConfigured if that is served to other machines.

    TWIT_OPEN_API_ANYWHERE allows it.
    """
    logging.getLogger("twit").warning(
        "TWIT_OPEN_API is on: whoever reaches this server may read, post and delete as anybody."
    )
    for address in served_addresses():
        if not (settings.TWIT_OPEN_API_ANYWHERE or ipaddress.ip_address(address).is_loopback):
            raise ImproperlyConfigured(
                f"TWIT_OPEN_API is on, and {address} is not this machine alone: listen on "
                "127.0.0.1, or set TWIT_OPEN_API_ANYWHERE=on as well if that is what you want."
            )


if not (settings.DATABASE_URL and settings.REDIS_URL):
    raise ImproperlyConfigured(settings.NO_SERVERS)
# A request waits for no broker; the outbox holds its tweet.
app.conf.broker_transport_options = {"socket_connect_timeout": 0.3, "socket_timeout": 0.3}
django_application = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Twit. Every body is UTF-8: Django raises where another charset is claimed, such as zlib."""
    content_type = environ.get("CONTENT_TYPE", "")
    if "charset" in content_type.lower():
        environ["CONTENT_TYPE"] = re.sub(r"(?i);\s*charset\s*=[^;]*", "", content_type)
    return django_application(environ, start_response)


if settings.TWIT_OPEN_API:
    check_open_api()
