"""The web server's command line: `python -m twit.web --host 0.0.0.0 --workers 4`."""

import argparse
import logging
import logging.config
import os
import socket

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from uvicorn import Config
from uvicorn.supervisors import Multiprocess

from twit import environment
from twit.web import exposure
from twit.web.connection import Connection

KEEP_ALIVE_SECONDS = 75  # longer than proxies keep idle connections, so that none reuses a dead one
STOP_SECONDS = 8  # then requests under way are given up; Docker kills after 10
UNREAD_MILLISECONDS = 20_000  # then a client that does not read its response is cut off


def main() -> None:
    """Serve until SIGTERM or SIGINT. A worker that ends or hangs is replaced."""
    parser = argparse.ArgumentParser(prog="python -m twit.web", description="Twit's web server.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1, help="the number of processes")
    parser.add_argument("--access-log", action="store_true", help="log each request")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twit.settings")
    with environment.plain_exit():
        environment.read(needs_servers=True)
        logging.config.dictConfig(settings.LOGGING)
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)  # tells which worker has died
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
    listener = config.bind_socket()
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; its connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLISECONDS)
    with environment.plain_exit():
        check_exposure(listener.getsockname()[0])
    warn_of_endless_redirects()
    Multiprocess(config, [listener]).run()


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
    """Log how to configure a proxy, because without one only this server's own TLS counts."""
    if settings.SECURE_SSL_REDIRECT and not settings.SECURE_PROXY_SSL_HEADER:
        logging.getLogger("twit").warning(
            "TWIT_HTTPS is on and TWIT_PROXIES is 0, so X-Forwarded-Proto is ignored. Behind a "
            "proxy that terminates TLS, every request is redirected for ever: set TWIT_PROXIES to "
            "the number of proxies."
        )


if __name__ == "__main__":
    main()
