"""What log lines look like, and which request each of them is about."""

import logging
import secrets
from contextvars import ContextVar
from typing import Any

# Of a line. Docker splits lines at 16 KiB, and journald at 48 KiB. The rest would look like another
# event.
MOST_CHARS = 4_000


class Cause:
    """The request that is being served, or that a task was sent for."""

    __slots__ = ("request_id", "user_id")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.user_id: int | None = None  # until its token or session has been looked up


cause: ContextVar[Cause | None] = ContextVar("cause", default=None)


def new_id() -> str:
    """Return an id for a request."""
    return secrets.token_hex(8)


def name_user(user_id: int) -> None:
    """Name the user in all lines about this request that follow."""
    if known := cause.get():
        known.user_id = user_id


class NameCause(logging.Filter):
    """Gives each line the id of its request and of that request's user, if it has them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, because no line is dropped."""
        if known := cause.get():
            record.request_id = known.request_id
            if known.user_id is not None:
                record.user_id = known.user_id
        return True


class TextFormatter(logging.Formatter):
    """One line for each event. Nothing in it can begin another.

    The lines of a traceback are indented.
    """

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}{about}: {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """Return the line."""
        found: dict[str, Any] = vars(record)
        names = {"request": found.get("request_id"), "user": found.get("user_id")}
        record.about = "".join(f" {name}={value}" for name, value in names.items() if value)
        return escaped(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Return the traceback."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """Return the stack."""
        return _indented(super().formatStack(stack_info))


def escaped(text: str) -> str:
    """Return the text with escapes for line breaks, control characters and the like.

    A text that is too long is cut.
    """
    if not text.isprintable():
        text = "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
        )
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]} (cut)"


def _indented(text: str) -> str:
    return "\n".join(f"  {escaped(line)}" for line in text.split("\n"))
