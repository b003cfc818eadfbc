"""Wake-ups: a Celery task tells a worker that the outbox has work."""

from backends.valkey import server

KEY = "fan_out:wake"
# The key exists while a wake-up is under way, so that a thousand posts send only one. It expires,
# because a wake-up can be lost.
EXPIRY_SECONDS = 2


def claim() -> bool:
    """Return whether to send a wake-up: not while another is under way. Raises Unavailable."""
    with server().connection() as connection:
        return bool(*connection.ask(("SET", KEY, 1, "NX", "EX", EXPIRY_SECONDS)))


def take() -> None:
    """Record that a wake-up arrived: later commits need another. Raises Unavailable."""
    with server().connection() as connection:
        connection.ask(("DEL", KEY))
