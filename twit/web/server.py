"""The web server's command line: `python -m twit.web --host 0.0.0.0 --workers 4`."""

import argparse
import logging
import logging.config
import os
import resource
import socket
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from uvicorn import Config
from uvicorn.supervisors import Multiprocess

from backends import checks
from backends.engine.base import DatabaseWrapper
from backends.engine.patience import REQUEST
from timelines.state import State
from twit import environment, metrics
from twit.web import exposure
from twit.web.connection import Connection
from twit.web.messages import UNREAD_SECONDS

KEEP_ALIVE_SECONDS = 75  # longer than proxies keep idle connections, so that none reuses a dead one
STOP_SECONDS = 8  # then requests under way are given up; Docker kills after 10
# The kernel keeps no more than this of a response that can't be sent yet. The rest waits in the
# process, which can see that the client is slow.
UNSENT_BYTES = 64 * 1024


def main() -> None:
    """Serve until SIGTERM or SIGINT. A worker that ends or hangs is replaced."""
    parser = argparse.ArgumentParser(prog="python -m twit.web", description="Twit's web server.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="the port to listen on")
    parser.add_argument("--workers", type=int, default=1, help="the number of processes")
    parser.add_argument("--access-log", action="store_true", help="log each request")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")
    with environment.plain_exit():
        variables = environment.read(needs_servers=True)
        logging.config.dictConfig(settings.LOGGING)
        checks.require()
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)  # says which worker has died
    config = Config(
        "twit.asgi:application",
        host=options.host,
        port=options.port,
        workers=options.workers,
        access_log=options.access_log,
        http=Connection,
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,  # Django's
        proxy_headers=False,  # TWIT_PROXIES counts them
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    DatabaseWrapper.patience = REQUEST  # of this process, which asks for the outbox's state
    with environment.plain_exit():
        metrics.serve("TWIT_METRICS_WEB", variables.TWIT_METRICS_WEB, State())
    listener = config.bind_socket()
    if sys.platform == "linux":
        prepare_for_streams(listener)
    with environment.plain_exit():
        check_exposure(listener.getsockname()[0])
    warn_of_endless_redirects()
    Multiprocess(config, [listener]).run()


def prepare_for_streams(listener: socket.socket) -> None:
    """Allow many connections, and bound what the kernel keeps for a slow client, and how long."""
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    # Its connections inherit these.
    tcp, milliseconds = socket.IPPROTO_TCP, round(1000 * UNREAD_SECONDS)
    listener.setsockopt(tcp, socket.TCP_USER_TIMEOUT, milliseconds)
    listener.setsockopt(tcp, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def check_exposure(address: str) -> None:
    """Log that the API is open. Raises ImproperlyConfigured if other machines can reach it."""
    if settings.TWIT_OPEN_API:
        logging.getLogger("twit").warning(
            "TWIT_OPEN_API is on: anybody who can reach this server may read, post and delete as "
            "anybody."
        )
    if not exposure.is_allowed(address):
        raise ImproperlyConfigured(
            f"TWIT_OPEN_API is on, and other machines can reach {address}: listen on 127.0.0.1, or "
            "set TWIT_OPEN_API_ANYWHERE=on as well if you want that."
        )


def warn_of_endless_redirects() -> None:
    """Log a warning if a proxy that terminates TLS would cause endless redirects."""
    if settings.SECURE_SSL_REDIRECT and not settings.SECURE_PROXY_SSL_HEADER:
        logging.getLogger("twit").warning(
            "TWIT_HTTPS is on and TWIT_PROXIES is 0, so X-Forwarded-Proto is ignored. Behind a "
            "proxy that terminates TLS, every request is redirected forever: set TWIT_PROXIES to "
            "the number of proxies."
        )
