"""Django's Postgres engine, with limited waits and a health check that costs no round trip."""

import select
from typing import ClassVar

import psycopg
from django.db.backends.postgresql import base
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from backends.engine.patience import COMMAND, Patience

# Postgres reports these whenever they change. Either may be "on" after a failover.
READ_ONLY = (b"in_hot_standby", b"default_transaction_read_only")


class Connection(psycopg.Connection[TupleRow]):
    """A connection that closes, and raises OperationalError, if no reply comes for too long.

    Postgres itself limits statements, but not while it is frozen.
    """

    answer_seconds: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        try:
            return super().wait(gen, interval, timeout or self.answer_seconds)
        except psycopg.OperationalError as error:
            if self.info.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.close()  # a late reply must not answer the next statement
            raise psycopg.OperationalError("Postgres did not answer in time") from error


class DatabaseWrapper(base.DatabaseWrapper):
    """With CONN_HEALTH_CHECKS on, a dead connection is detected before it is used.

    An entry point of web servers or workers sets `patience` before the first connection.
    """

    patience: ClassVar[Patience] = COMMAND

    def get_connection_params(self) -> dict[str, object]:
        """Return the parameters of DATABASE_URL, and limits for those that it does not set."""
        given = super().get_connection_params()
        limits = self.patience.parameters(given.get("options", ""))
        if "," in given.get("host", ""):
            limits["target_session_attrs"] = "read-write"  # of several hosts, use the primary
        return limits | given | {"options": limits["options"]}

    def get_new_connection(self, conn_params: dict[str, object]) -> Connection:
        self.isolation_level = IsolationLevel.READ_COMMITTED
        connection = Connection.connect(**conn_params)  # type: ignore[arg-type]
        connection.answer_seconds = self.patience.answer
        return connection

    def is_usable(self) -> bool:
        """Return whether the connection can be used.

        A server that went away has closed the socket, which makes it readable (psycopg's
        documentation, "Detecting disconnections"). Polling takes 3 us, a query at least 50 us. A
        connection to a server that is read-only is not usable: a new one may find the primary.
        """
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        if poll.poll(0) and not super().is_usable():
            return False
        status = self.connection.pgconn.parameter_status
        return all(status(name) != b"on" for name in READ_ONLY)
