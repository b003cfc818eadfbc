"""How long a process waits for Postgres, by what the process does."""

from typing import NamedTuple


class Patience(NamedTuple):
    """Limits in seconds. A wait that exceeds one ends with an OperationalError. None: no limit."""

    connect: int  # to open a connection, per host; psycopg waits at least 2 s
    silence: float  # until the network acknowledges what was sent
    lock: float
    statement: float | None
    idle: float | None  # in a transaction, between two statements

    @property
    def answer(self) -> float | None:
        """The limit for a reply. Only a frozen server exceeds it: others end statements first."""
        return None if self.statement is None else self.statement + 1

    def parameters(self, options: str) -> dict[str, str | int]:
        """Return libpq's parameters. `options` are the server settings of DATABASE_URL, which win.

        Both sides of a connection give up on packets that nobody acknowledges, and the client
        probes idle connections, so that it notices a forgotten one before it needs it.
        """
        ms = {
            "tcp_user_timeout": self.silence,
            "lock_timeout": self.lock,
            "statement_timeout": self.statement,
            "idle_in_transaction_session_timeout": self.idle,
        }
        ours = [f"-c {name}={1000 * limit:.0f}" for name, limit in ms.items() if limit is not None]
        return {
            "connect_timeout": self.connect,
            "tcp_user_timeout": round(1000 * self.silence),
            "keepalives_idle": 5,
            "keepalives_interval": 1,
            "keepalives_count": 2,
            "options": " ".join([*ours, options]).strip(),
        }


REQUEST = Patience(connect=2, silence=2.5, lock=2, statement=4, idle=10)
# After `idle` other workers get the rows of a worker that hangs in a round.
WORKER = Patience(connect=3, silence=2.5, lock=4, statement=4, idle=10)
# While a migration waits for a lock, others queue behind it. A command that is suspended in a
# transaction must not keep its locks.
COMMAND = Patience(connect=10, silence=30, lock=10, statement=None, idle=60)
