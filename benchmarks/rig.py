"""Servers, workers and a web server for the benchmarks alone."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack import Stack
from twit.local import postgres, valkey

SECRET = "benchmarks"  # noqa: S105 (these servers listen on loopback, for a few minutes)


@contextmanager
def rig() -> Iterator[Stack]:
    """Start an empty Postgres (durable) and an empty Valkey, and set up Django for them.

    Stop the servers at the end and delete their data.
    """
    folder = Path(tempfile.mkdtemp(prefix="twit-benchmarks-"))
    folder.chmod(0o755)  # Postgres may have to run as another user
    log = folder / "servers.log"
    database, database_url = postgres.start(folder / "postgres", password=SECRET, log=log)
    cache, redis_url = valkey.start(folder / "valkey", password=SECRET, log=log, durable=False)
    os.environ.update(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "BROKER_URL": redis_url,
            "LIMITS_URL": redis_url,
            "SECRET_KEY": SECRET,
            "TWIT_OPEN_API": "on",
            "TWIT_HTTPS": "off",
            "TWIT_LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        }
    )
    stack = Stack(folder, database_url, redis_url)
    try:
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        yield stack
    finally:
        stack.stop()
        cache.stop()
        database.stop()
        shutil.rmtree(folder)


def start_workers(stack: Stack, processes: int = 2, **env: str) -> None:
    """Start one worker with that many processes."""
    stack.start_worker("workers", "-I", "benchmarks.tasks", processes=processes, env=env)


def start_web(stack: Stack) -> str:
    """Ensure that a web server with two processes runs, and return its URL."""
    if "web" not in stack.children:
        stack.start_web(processes=2)
    return stack.address
