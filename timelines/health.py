"""The checks of `GET /readyz`."""

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import OperationalError

from api.health import Check, Failed
from backends.nodes import nodes
from backends.postgres import binary_cursor
from backends.slots import SLOTS
from backends.valkey import Unavailable
from timelines.lists import admission
from timelines.signs import HEARTBEAT, SEEN, SWEEP, sweep_of_this_host
from timelines.status import connected

# By Postgres's clock. It takes the row with the lowest id, not the lowest time, so that it is cheap
# however many rows there are.
PENDING = """
    SELECT extract(epoch FROM clock_timestamp() - created_at)::float FROM timelines_fanout
    ORDER BY id LIMIT 1
"""
SWEPT_SECONDS = 30  # after which no worker seems to run; each sweeps every second
HEARTBEAT_SECONDS = 180  # after which the scheduler seems not to work; it sends one a minute


def postgres() -> str:
    """Return that Postgres answers."""
    try:
        with binary_cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            [is_replica] = cursor.fetchone() or [False]
    except Error as error:
        raise Failed(f"Postgres does not answer: {error}") from error
    return "It answers, as a replica: writes fail." if is_replica else "It answers."


class Migrations:
    """Whether the migrations of this code are applied. Once they are, they stay so."""

    def __init__(self) -> None:
        self._are_applied = False

    def __call__(self) -> str:
        if not self._are_applied:
            try:
                executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
                missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
            except Error as error:
                raise Failed("Postgres does not answer.") from error
            if missing:
                first, _ = missing[0]
                raise Failed(f"{len(missing)} are missing, the first is {first}: run migrate.")
            self._are_applied = True
        return "All are applied."


def valkey() -> str:
    """Return how many servers hold timelines."""
    servers, silent = nodes(), []
    try:
        addresses = servers.addresses()
        for address in addresses:
            try:
                servers.look(address)
            except Unavailable:
                silent.append(address or "the server of REDIS_URL")
        with binary_cursor() as cursor:
            admitted = admission.current(cursor)
    except (Unavailable, Error) as error:
        raise Failed(f"Timelines come from Postgres: {error}") from error
    if silent:
        raise Failed(f"No answer from {', '.join(silent)}: its timelines come from Postgres.")
    held = sum(last + 1 - first for (first, last), *_ in admitted)
    if held < SLOTS:
        raise Failed(f"{SLOTS - held:,} slots have no admitted server: see fanout_status.")
    return f"{len(addresses)} of {len(addresses)} answer."


def broker() -> str:
    """Return that the broker answers."""
    try:
        with connected():
            return "It answers."
    except OperationalError as error:
        raise Failed(f"It does not answer ({error}). Workers find tweets by sweeps.") from error


def pending() -> str:
    """Return the age of the oldest pending fan-out."""
    age = _seconds(PENDING)
    if age is None:
        return "Nothing is pending."
    text = f"The oldest fan-out has been pending for {age:.0f} s."
    if age > settings.TWIT_PENDING_SECONDS:
        raise Failed(text)
    return text


def sweep() -> str:
    """Return the age of the last sweep of any worker."""
    return _last(_seconds(SEEN, SWEEP), SWEPT_SECONDS, "does a worker run?")


def sweep_here() -> str:
    """Return the age of the last sweep of a worker on this host. Raises Error too."""
    age = _age(SEEN, sweep_of_this_host())
    return _last(age, SWEPT_SECONDS, "does a worker run on this host?")


def heartbeat() -> str:
    """Return the age of the last heartbeat that a worker has taken. Raises Error too."""
    age = _age(SEEN, HEARTBEAT)
    return _last(age, HEARTBEAT_SECONDS, "do the scheduler, the broker and a worker run?")


def _last(age: float | None, most_seconds: float, question: str) -> str:
    if age is None or age > most_seconds:
        last = "There was none" if age is None else f"The last one was {age:.0f} s ago"
        raise Failed(f"{last}: {question}")
    return f"The last one was {age:.0f} s ago."


def _seconds(statement: str, *parameters: str) -> float | None:
    try:
        return _age(statement, *parameters)
    except Error as error:
        raise Failed(f"Postgres does not answer: {error}") from error


def _age(statement: str, *parameters: str) -> float | None:
    with binary_cursor() as cursor:
        row = cursor.execute(statement, parameters).fetchone()
    return row[0] if row else None


READINESS = (
    Check("postgres", postgres),
    Check("migrations", Migrations()),
    # Pages are right without these. If they failed readiness, no web server would be left.
    Check("valkey", valkey, is_needed=False),
    Check("broker", broker, is_needed=False),
    Check("pending", pending, is_needed=False),
    Check("sweep", sweep, is_needed=False),
)
