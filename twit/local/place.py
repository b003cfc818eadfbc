"""Where a checkout keeps what `make up` runs on, and who holds it."""

import fcntl
import os
import secrets
from pathlib import Path
from typing import IO


class Occupied(Exception):
    """Another process holds this place; the text says which, and its address."""


class Place:
    """The folder `.twit/` of a checkout: data, logs, secrets, `env` and `lock`."""

    def __init__(self, checkout: Path) -> None:
        self.root = checkout / ".twit"
        self.logs = self.root / "logs"
        self.env_file = self.root / "env"
        self.lock_file = self.root / "lock"

    def variables(self) -> dict[str, str]:
        """What `make up` published, if it runs now; nothing otherwise."""
        try:
            lock = self.lock_file.open()
            published = self.env_file.read_text()
        except (FileNotFoundError, PermissionError):  # nobody's, or another user's
            return {}
        with lock:
            if _try_lock(lock, fcntl.LOCK_SH):  # nobody holds it: `env` is what a killed one left
                return {}
        return dict(line.split("=", 1) for line in published.splitlines())

    def occupy(self) -> IO[str]:
        """The lock, held until `leave`. Raises Occupied when another process has it."""
        self.logs.mkdir(parents=True, exist_ok=True)
        while True:
            lock = self.lock_file.open("a+")
            if not _try_lock(lock):
                lock.seek(0)
                raise Occupied(lock.read().strip() or "another `make up` is starting")
            # The former holder may have unlinked the file between our open and our lock.
            if self.lock_file.exists() and os.path.samestat(
                os.fstat(lock.fileno()), self.lock_file.stat()
            ):
                return lock
            lock.close()

    def announce(self, lock: IO[str], text: str) -> None:
        """Write into the lock what a second `make up` is told."""
        lock.truncate(0)
        lock.write(text)
        lock.flush()

    def leave(self, lock: IO[str]) -> None:
        """Give the place up: no `env`, no lock file."""
        self.env_file.unlink(missing_ok=True)
        self.lock_file.unlink(missing_ok=True)
        lock.close()

    def publish(self, variables: dict[str, str]) -> None:
        """Write `env`, readable by its owner alone: every command in this checkout reads it."""
        text = "".join(f"{name}={value}\n" for name, value in variables.items())
        write_private(self.env_file, text)

    def secret(self, name: str) -> str:
        """The random value of that name, made once and kept."""
        file = self.root / "secrets" / name
        if not file.exists():
            file.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(file, secrets.token_urlsafe(32))
        return file.read_text()


def write_private(file: Path, text: str) -> None:
    """Write `text` into `file`, which nobody but its owner can open at any moment."""
    with open(file, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
        out.write(text)


def _try_lock(file: IO[str], kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
