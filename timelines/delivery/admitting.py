"""Admitting: workers decide which server holds the lists of which slots. Web processes only look.

Nothing depends on these decisions being good. If two workers disagree, or admit a server too early,
lists are rebuilt and pages come from Postgres meanwhile. The rules only keep that rare.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from django.db import transaction
from psycopg import RawCursor
from psycopg.rows import TupleRow

from backends import metrics
from backends.identity import NONE, Identity
from backends.nodes import Primary, nodes
from backends.postgres import binary_cursor
from backends.slots import Slots
from backends.valkey import Unavailable
from timelines.delivery.decision import Decision, Holder, Row
from timelines.lists.admission import DATABASE_TIMELINE
from timelines.signs import SWEEP

LATE_SECONDS = 2.0  # after which a sweep no longer believes what it saw: its process was frozen

# Only one worker at a time decides. The number is arbitrary, but nothing else may use it.
LOCK = "SELECT pg_try_advisory_xact_lock(7314552862)"
WAIT = "SELECT pg_advisory_xact_lock(7314552862)"
# $1: identities.
SEE = """
    INSERT INTO timelines_sighting (identity) SELECT DISTINCT unnest($1::text[]) ORDER BY 1
    ON CONFLICT (identity) DO UPDATE SET seen_at = clock_timestamp()
    WHERE timelines_sighting.seen_at NOT BETWEEN
        clock_timestamp() - interval '0.5 seconds' AND clock_timestamp()
"""
ROWS = f"""
    SELECT first_slot, last_slot, address, identity, generation, patience_seconds, admitted_at,
    database_timeline = {DATABASE_TIMELINE},
    abs(extract(epoch FROM clock_timestamp() - seen_at))::float
    FROM timelines_admission LEFT JOIN timelines_sighting USING (identity)
    ORDER BY first_slot
"""  # noqa: S608 (joined from constants)
# A time is higher than the generations of a database that an older backup has replaced.
_GENERATION = """greatest(
    (SELECT max(generation) FROM timelines_admission) + 1,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
)"""
NEW = f"SELECT {_GENERATION}, clock_timestamp()"
RENEW = f"""
    UPDATE timelines_admission
    SET generation = {_GENERATION}, database_timeline = {DATABASE_TIMELINE}
"""  # noqa: S608
CLEAR = "DELETE FROM timelines_admission"
ADD = f"""
    INSERT INTO timelines_admission (
        first_slot, last_slot, address, identity, generation, patience_seconds, admitted_at,
        database_timeline
    )
    SELECT *, {DATABASE_TIMELINE} FROM unnest(
        $1::int[], $2::int[], $3::text[], $4::text[], $5::bigint[], $6::float[], $7::timestamptz[]
    )
"""  # noqa: S608
FORGET = """
    DELETE FROM timelines_sighting WHERE seen_at < clock_timestamp() - interval '1 day'
"""
# Each new container has a new host name.
FORGET_HOSTS = f"""
    DELETE FROM timelines_sighting
    WHERE starts_with(identity, '{SWEEP}:') AND seen_at < clock_timestamp() - interval '1 day'
"""  # noqa: S608


logger = logging.getLogger(__name__)
_misses: Counter[Identity] = Counter()  # of this process, in a row


def sweep() -> None:
    """Look at the servers, record which of them answer, and admit others where needed."""
    with binary_cursor() as cursor:
        known = {row.holder.address for row in _rows(cursor)}
    primaries = list(_look(known))
    looked_at = time.monotonic()
    changed: list[tuple[Slots, Holder]] = []
    with transaction.atomic(), binary_cursor() as cursor:
        if cursor.execute(LOCK).fetchone() != (True,):
            return
        if time.monotonic() - looked_at > LATE_SECONDS:
            return
        cursor.execute(SEE, [[SWEEP, *(primary.identity for primary in primaries)]])
        rows = list(_rows(cursor))
        _count_misses(rows, primaries)
        [(generation, now)] = cursor.execute(NEW).fetchall()
        new = Holder("", NONE, generation, 0, now)
        holders = list(Decision(primaries, _misses, new).holders(rows))
        if holders != [(row.slots, row.holder) for row in rows]:
            _write(cursor, holders)
            changed = [pair for pair in holders if pair[1].generation == generation]
    for slots, holder in changed:
        metrics.ADMISSIONS.labels("none" if holder.identity == NONE else "server").inc()
        who = f"{holder.address or 'the server of REDIS_URL'} is admitted"
        if holder.identity == NONE:
            who = "no server is admitted, and pages come from Postgres"
        logger.warning("Slots %d to %d: %s", *slots, who)


def see(identity: str) -> None:
    """Record that a worker has just seen this identity, or done what it names."""
    with binary_cursor() as cursor:
        cursor.execute(SEE, [[identity]])


def forget_hosts() -> None:
    """Delete what was recorded for hosts that have had no worker for a day."""
    with binary_cursor() as cursor:
        cursor.execute(FORGET_HOSTS)


def renew() -> None:
    """Give all admissions new generations, so that no existing list is believed any more."""
    with transaction.atomic(), binary_cursor() as cursor:
        cursor.execute(WAIT)
        cursor.execute(RENEW)


def _look(known: Iterable[str]) -> Iterator[Primary]:
    servers = nodes()
    addresses: set[str] = set()
    with suppress(Unavailable):
        addresses.update(servers.addresses())
    if servers.is_cluster:
        addresses.update(filter(None, known))
    for address in sorted(addresses):
        with suppress(Unavailable):
            if primary := servers.look(address):
                yield primary


def _rows(cursor: RawCursor[TupleRow]) -> Iterator[Row]:
    for first, last, *holder, is_valid, silent_seconds in cursor.execute(ROWS).fetchall():
        yield Row(Slots(first, last), Holder(*holder), is_valid, silent_seconds)


def _count_misses(rows: Sequence[Row], primaries: Sequence[Primary]) -> None:
    seen = {primary.identity for primary in primaries}
    missed = {row.holder.identity for row in rows} - seen
    for found in [found for found in _misses if found not in missed]:
        del _misses[found]
    _misses.update(missed)


def _write(cursor: RawCursor[TupleRow], holders: Sequence[tuple[Slots, Holder]]) -> None:
    cursor.execute(CLEAR)
    cursor.execute(
        ADD, [list(column) for column in zip(*((*s, *h) for s, h in holders), strict=True)]
    )
    cursor.execute(FORGET)
