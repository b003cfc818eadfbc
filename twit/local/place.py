"""The folder of a checkout where `make up` keeps its data, and its lock."""

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import IO

from twit.local.files import make_folder, open_private, write_private

CHECKOUT = Path(__file__).resolve().parents[2]


class Occupied(Exception):
    """Another process holds this place. The text has its process id and address."""


class Place:
    """The folder `.twit/` of a checkout, with data, `logs/`, `secrets/` and `lock`.

    Only its owner can enter `logs/` and `secrets/`. The file `env` is one of the secrets.
    """

    def __init__(self, checkout: Path) -> None:
        self.root = (checkout / ".twit").resolve()
        self.logs = self.root / "logs"
        self.secrets = self.root / "secrets"
        self.env_file = self.secrets / "env"
        self.lock_file = self.root / "lock"

    def use_published(self) -> None:
        """Add the variables of a running `make up` to this process's environment.

        Variables that are set already win. An environment that names other servers is left alone.
        """
        try:
            lock = self.lock_file.open()
            text = self.env_file.read_text()
        except (FileNotFoundError, PermissionError):  # it never ran, or another user runs it
            return
        with lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return  # nobody holds the lock: a killed `make up` has left `env`
        published = dict(line.split("=", 1) for line in text.splitlines())
        merged = published | os.environ
        if all(merged.get(url) == published.get(url) for url in ("DATABASE_URL", "REDIS_URL")):
            os.environ.update(merged)

    def occupy(self) -> IO[str]:
        """Take the lock and return it.

        Raises Occupied while another process has it, and PermissionError if the folder is another
        user's.
        """
        # Started by root, Postgres runs under an account that has to get to its data.
        make_folder(self.root, 0o711 if os.geteuid() == 0 else 0o700)
        make_folder(self.logs)
        make_folder(self.secrets)
        while True:
            lock = open(self.lock_file, "a+", opener=open_private)  # noqa: SIM115 (it stays open)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "another `make up` is starting"
                raise Occupied(holder) from None
            # The former holder may have unlinked the file between our open and our lock.
            if os.fstat(lock.fileno()).st_nlink:
                return lock
            lock.close()

    def announce(self, lock: IO[str], text: str) -> None:
        """Write the text that a second `make up` prints into the lock file."""
        lock.truncate(0)
        lock.write(text)
        lock.flush()

    def leave(self, lock: IO[str]) -> None:
        """Remove `env` and the lock file, and release the lock."""
        self.env_file.unlink(missing_ok=True)
        self.lock_file.unlink(missing_ok=True)
        lock.close()

    def publish(self, variables: dict[str, str]) -> None:
        """Write `env`, which every command in this checkout reads, so that only its owner can."""
        text = "".join(f"{name}={value}\n" for name, value in variables.items())
        write_private(self.env_file, text)

    def secret(self, name: str) -> str:
        """Return the random secret of that name. It is created once and kept."""
        file = self.secrets / name
        if not file.exists():
            write_private(file, secrets.token_urlsafe(32))
        return file.read_text()
