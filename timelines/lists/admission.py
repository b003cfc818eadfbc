"""Admissions: which server holds the lists of a slot, and under which generation.

Postgres says so in the table `timelines_admission`, which workers write: see
timelines/delivery/admitting.py. A list is believed only if the server that answered is the admitted
one and the list was built under the current generation.
"""

from typing import NamedTuple

from psycopg import RawCursor
from psycopg.rows import TupleRow

from backends.identity import Identity
from backends.slots import Slots

# The timeline of Postgres: the first 8 digits of a WAL file's name. Each promotion begins a new
# one. A server in recovery has no current one, and so no admission is valid there.
DATABASE_TIMELINE = """(
    SELECT CASE WHEN pg_is_in_recovery() THEN ''
    ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END
)"""
CURRENT = f"""
    SELECT first_slot, last_slot, address, identity, generation FROM timelines_admission
    WHERE identity <> '' AND database_timeline = {DATABASE_TIMELINE}
    ORDER BY first_slot
"""  # noqa: S608 (joined from constants)


class Admission(NamedTuple):
    """A server that holds the lists of some slots."""

    slots: Slots
    address: str
    identity: Identity
    generation: int


def generation(slot: str, identity: str) -> str:
    """Return SQL for the generation of a slot's lists, or null if another server is admitted.

    The arguments are the statement's parameters for the slot and the server's identity.
    """
    return f"""(
        SELECT generation FROM timelines_admission
        WHERE {slot} BETWEEN first_slot AND last_slot AND identity = {identity}
        AND identity <> '' AND database_timeline = {DATABASE_TIMELINE}
    )"""  # noqa: S608


def current(cursor: RawCursor[TupleRow]) -> tuple[Admission, ...]:
    """Return all admissions, in the order of their slots.

    A round must read them after it has claimed its rows. A server that is admitted later is used
    only by lists that were built later, and these have the claimed tweets from Postgres.
    """
    cursor.execute(CURRENT)
    return tuple(
        Admission(Slots(first, last), *others) for first, last, *others in cursor.fetchall()
    )
