"""What is true while `make up` runs: what ends is started again, and nobody else can read it."""

import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from tests.stack import wait_until
from tests.up import READY, copied_checkout, kill, up
from twit.local.net import free_port


@dataclass
class Running:
    """A `make up` that is ready."""

    checkout: Path
    address: str
    process: subprocess.Popen[str]

    def responds(self) -> bool:
        try:
            return httpx.get(f"{self.address}/tweets", trust_env=False, timeout=30).is_success
        except httpx.TransportError:
            return False

    def published(self, name: str) -> str:
        """Return a variable that commands in this checkout use."""
        text = (self.checkout / ".twit/secrets/env").read_text()
        return dict(line.split("=", 1) for line in text.splitlines())[name]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    port = free_port()
    with copied_checkout() as checkout:
        started, printed = up(checkout, TWIT_PORT=str(port))
        assert READY in printed, printed
        yield Running(checkout, f"http://127.0.0.1:{port}", started)
        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=60)


def test_a_web_server_that_is_killed_again_and_again_is_started_again(running: Running) -> None:
    for _ in range(3):
        kill(running.checkout, "twit.web")
    wait_until(running.responds)
    assert running.process.poll() is None


def test_a_worker_that_is_killed_while_redis_is_full_comes_back(running: Running) -> None:
    with redis.Redis.from_url(running.published("REDIS_URL"), socket_timeout=30) as valkey:
        valkey.config_set("maxmemory", 1)
        for _ in range(3):
            kill(running.checkout, "celery", "worker")
        valkey.config_set("maxmemory", 0)
    wait_until(running.responds)
    tweets = f"{running.address}/tweets"
    tweet = httpx.post(
        tweets, data={"userId": "1", "message": "hi"}, trust_env=False, timeout=30
    ).json()
    with psycopg.connect(running.published("DATABASE_URL"), autocommit=True) as connection:
        pending = "SELECT 1 FROM timelines_fanout WHERE tweet_id = %s"
        wait_until(lambda: not connection.execute(pending, [tweet["id"]]).fetchone(), seconds=60)
    assert running.process.poll() is None


def files_in(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # the servers are at work
            yield path, path.stat()


def test_only_the_owner_can_read_logs_secrets_and_data(running: Running) -> None:
    is_root = os.geteuid() == 0
    place = running.checkout / ".twit"
    # Root runs Postgres under an account that passes through, but lists nothing.
    passages = {place, place / "postgres"}
    found = dict(files_in(place))
    assert len(found) > 1000
    for path, status in found.items():
        mode = stat.S_IMODE(status.st_mode)
        if path in passages and is_root:
            assert mode == 0o711, path
        elif path != place / "postgres/pg_hba.conf":
            assert mode & 0o077 == 0, path
    owners = {status.st_uid for path, status in found.items() if "data" not in path.parts}
    assert owners == {os.geteuid()}


def test_the_application_owns_its_database_and_is_no_superuser(running: Running) -> None:
    with psycopg.connect(running.published("DATABASE_URL")) as connection:
        role = connection.execute(
            """
            SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,
                   datname, array(SELECT roleid::regrole::text FROM pg_auth_members
                                  WHERE member = pg_roles.oid)
            FROM pg_roles JOIN pg_database ON datdba = pg_roles.oid WHERE rolname = current_user
            """
        ).fetchall()
    assert role == [(False, False, False, False, False, "twit", [])]


def test_postgres_knows_no_secret_but_its_own(running: Running) -> None:
    postmaster = running.checkout / ".twit/postgres/data/postmaster.pid"
    pid = postmaster.read_text().splitlines()[0]
    names = re.findall(r"(?:^|\0)(\w+)=", Path(f"/proc/{pid}/environ").read_text())
    assert names == ["PATH"]
