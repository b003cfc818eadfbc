"""Rebuilding a list from Postgres."""

from typing import NamedTuple

from timelines.lists import store
from timelines.reading import pull
from timelines.reading.pull import Snapshot
from users.models import User


class Rebuild(NamedTuple):
    """What became of a rebuild."""

    snapshot: Snapshot | None = None  # None: another rebuild runs, or there is no such reader
    is_stored: bool = False


def rebuild(reader_id: int) -> Rebuild:
    """Read the reader's home timeline from Postgres and store it as their list.

    The order matters: the list begins before Postgres is read, so a push in between lands in it. If
    the token or the list is gone at the end, the snapshot is returned but not stored. Nothing is
    stored for a reader who does not exist. Raises Unavailable.
    """
    token = store.begin_rebuild(reader_id)
    if token is None:
        return Rebuild()
    try:
        snapshot = pull.snapshot(reader_id)
    except User.DoesNotExist:
        store.forget([reader_id])
        return Rebuild()
    is_stored = store.finish_rebuild(reader_id, token, **snapshot._asdict())
    return Rebuild(snapshot, is_stored)
