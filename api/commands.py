"""What all management commands share: if a server fails, one sentence instead of a traceback."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import Error
from kombu.exceptions import OperationalError

from backends.servers import Server
from backends.valkey import ROUND_SECONDS, Unavailable


class ServerCommand(BaseCommand):
    """A command that needs the servers in the settings. `--traceback` shows how one failed."""

    unfinished = ""  # what to do after a failure, for commands that store things in pieces

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command. It waits longer than requests do.

        Raises CommandError if a server fails.
        Raises ImproperlyConfigured, as web servers and workers do, unless both servers are set.
        """
        if not (settings.DATABASE_URL and settings.REDIS_URL):
            raise ImproperlyConfigured(settings.NO_SERVERS)
        Server.patience_seconds = ROUND_SECONDS
        try:
            return super().execute(*args, **options)
        except Error as error:
            raise self._failed("Postgres", error) from error
        except Unavailable as error:
            raise self._failed("Redis", error) from error
        except OperationalError as error:
            raise self._failed("the broker", error) from error

    def _failed(self, server: str, error: Exception) -> CommandError:
        return CommandError("; ".join(filter(None, (failure(server, error), self.unfinished))))


def failure(server: str, error: Exception) -> str:
    """Return what failed and why, in one line."""
    reason, *_ = str(error).splitlines() or [type(error).__name__]
    return f"{server} failed: {reason}"
