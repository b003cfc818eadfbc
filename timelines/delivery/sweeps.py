"""Sweeps: each worker process looks at the outbox by itself, even if its broker fails.

They find the rows that no wake-up led to: SQL bypassed Django, the broker was down, or a worker
was killed. They also admit servers, flag late deliveries, and take down flags.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.db import Error, close_old_connections, connections

from backends.valkey import Unavailable
from timelines.delivery import admitting, flags, rounds
from timelines.delivery.tasks import SHARE_SECONDS
from timelines.signs import sweep_of_this_host

SWEEP_SECONDS = 1.0
SEEN_SECONDS = 5.0  # between records that this host's workers sweep
RETRY_SECONDS = 0.5  # after a sweep that failed, for instance on a connection that was lost

logger = logging.getLogger(__name__)


class Sweeper:
    """The thread of a worker process that sweeps."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._seen_at = -SEEN_SECONDS  # on the monotonic clock

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Let a round that is under way finish, and end the thread."""
        self._stopped.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        pause = 0.0
        while not self._stopped.wait(pause):
            pause = RETRY_SECONDS
            with _logged():
                close_old_connections()
                admitting.sweep()
            with _logged():
                pause = 0 if rounds.drain(SHARE_SECONDS) else SWEEP_SECONDS
                self._record()
            with _logged():  # deliveries don't depend on flags
                flags.sweep()
            rounds.tally.flush()
        connections.close_all()

    def _record(self) -> None:
        """Record now and then that this host's workers sweep. `manage.py check_worker` reads it."""
        now = time.monotonic()
        if now - self._seen_at >= SEEN_SECONDS:
            admitting.see(sweep_of_this_host())
            self._seen_at = now


@contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except (Error, Unavailable) as error:
        logger.warning("A sweep failed: %s", error)
    except Exception:
        logger.exception("A sweep failed")


@cache
def process_sweeper() -> Sweeper:
    return Sweeper()


def start(**signal: Any) -> None:
    """Start sweeping. Called in each new process of a worker."""
    process_sweeper().start()


def stop(**signal: Any) -> None:
    """Stop sweeping, in a process that is about to end."""
    process_sweeper().stop()
