"""Rebuilding a list from Postgres."""

import threading
from typing import NamedTuple

from backends import metrics
from timelines.lists import store, upkeep
from timelines.lists.listed import Listed
from timelines.reading import pull
from users.models import User

# Rebuilds of one process at once. Other requests are served from Postgres meanwhile, so that a
# process does not spend all its threads on rebuilds.
REBUILDS_AT_ONCE = 2

_permits = threading.BoundedSemaphore(REBUILDS_AT_ONCE)


class Rebuild(NamedTuple):
    """What became of a rebuild."""

    listed: Listed | None = None  # None if nothing was read
    is_stored: bool = False


def rebuild(reader_id: int) -> Rebuild:
    """Read the reader's home timeline from Postgres and store it as their list.

    Nothing is read if another rebuild of the list runs, if the server is not the admitted one, if
    too many lists are being rebuilt, or if there is no such reader. Raises Unavailable.
    """
    if not _permits.acquire(blocking=False):
        _count("too many")
        return Rebuild()
    try:
        return _rebuild(reader_id)
    finally:
        _permits.release()


def _rebuild(reader_id: int) -> Rebuild:
    """Rebuild the list. It begins before Postgres is read, so a push in between lands in it.

    If the token or the list is gone at the end, what was read is returned but not stored.
    """
    begun = store.begin_rebuild(reader_id)
    if begun is None:
        _count("under way")
        return Rebuild()
    try:
        snapshot = pull.snapshot(reader_id, begun.source)
    except User.DoesNotExist:
        snapshot = None
    if snapshot is None:
        upkeep.forget(reader_id)
        _count("refused")
        return Rebuild()
    is_stored = store.finish_rebuild(reader_id, begun.token, **snapshot._asdict())
    _count("stored" if is_stored else "overtaken")
    return Rebuild(snapshot.listed(begun.source), is_stored)


def _count(outcome: str) -> None:
    metrics.REBUILDS.labels(outcome).inc()
