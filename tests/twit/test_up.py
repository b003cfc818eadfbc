"""`make up` in a checkout of its own: start, second start, stop, restart."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.stack import CHECKOUT, wait_until
from twit.local import postgres
from twit.local.net import free_port

READY = "Ctrl-C stops it"
ENV = {
    name: value
    for name, value in os.environ.items()
    if name not in {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "TWIT_OPEN_API", "TWIT_HTTPS"}
}


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A copy of the project's files, in a folder that any account can enter."""
    folder = Path(tempfile.mkdtemp(prefix="twit-up-"))
    folder.chmod(0o755)
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for file in filter(None, files.split("\0")):
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / file, target)
    yield folder
    for pid in processes_in(folder):  # processes that a failed test left running
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)


def up(checkout: Path, **env: str) -> tuple[subprocess.Popen[str], str]:
    """Start Twit as `make up` does. Return the process, and its output until it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "twit.local"],
        cwd=checkout,
        env=ENV | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if READY in line:
            break
    return process, printed


def python(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=checkout, env=ENV, check=False, capture_output=True, text=True
    )


def workers_in(folder: Path) -> list[int]:
    return [
        pid for pid, line in processes_in(folder).items() if "celery" in line and "worker" in line
    ]


def processes_in(folder: Path) -> dict[int, str]:
    """Return the command lines, by process id, of all processes that run in the folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found[int(process.name)] = (process / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has exited, or it belongs to another account
    return found


def stop(process: subprocess.Popen[str], checkout: Path, number: signal.Signals) -> None:
    """Stop Twit with the signal. Check that no process, lock or environment file is left."""
    process.send_signal(number)
    assert process.wait(30) == 0
    assert process.stdout is not None
    process.stdout.close()
    assert processes_in(checkout) == {}
    assert not (checkout / ".twit/lock").exists()
    assert not (checkout / ".twit/env").exists()


def test_it_starts_shows_a_delivery_stops_and_restarts(checkout: Path) -> None:
    port = str(free_port())
    process, printed = up(checkout, TWIT_PORT=port)
    assert READY in printed, printed
    arrivals = re.findall(r"in (\w+)'s home timeline after \d+ ms", printed)
    assert sorted(arrivals) == ["alyssa", "eva", "louis"]
    api = f"http://127.0.0.1:{port}/tweets"
    assert f"API    {api}" in printed
    tweets = httpx.get(api).json()

    second, output = up(checkout)
    second.communicate()
    assert second.returncode == 1
    assert f"already running in this checkout: pid {process.pid}, http://127.0.0.1:{port}" in output
    counted = python(checkout, "manage.py", "shell", "-v0", "-c", "print(Tweet.objects.count())")
    assert counted.stdout.strip() == str(len(tweets)), counted.stderr

    killed = workers_in(checkout)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(workers_in(checkout)) - set(killed))

    stop(process, checkout, signal.SIGINT)
    for command in ("manage.py migrate", "-m celery -A twit worker"):
        refused = python(checkout, *command.split())
        assert refused.returncode == 1
        assert refused.stderr.startswith("twit: no servers: run `make up`")
        assert refused.stderr.count("\n") == 1

    process, printed = up(checkout, TWIT_PORT=port)
    assert READY in printed, printed
    assert httpx.get(f"{api}?limit=200").json()[1:] == tweets  # the second demo posted one more
    stop(process, checkout, signal.SIGTERM)


def test_a_part_that_fails_is_reported_with_its_log_and_all_processes_stop(checkout: Path) -> None:
    data = checkout / ".twit/postgres/data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9.6\n")
    process, printed = up(checkout, TWIT_PORT=str(free_port()))
    process.communicate()
    assert process.returncode == 1
    assert re.search(r"^Postgres \.+ FAILED$", printed, re.MULTILINE)
    assert f"{checkout}/.twit/logs/postgres.log" in printed
    assert processes_in(checkout) == {}
    assert not (checkout / ".twit/lock").exists()


@pytest.mark.skipif(
    os.geteuid() != 0, reason="Postgres runs under another account only when root starts it"
)
def test_as_root_postgres_starts_inside_a_private_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    home = tmp_path / "postgres"
    options = {"password": "secret", "log": tmp_path / "log", "durable": False}
    try:
        for _ in range(2):
            child, url = postgres.start(home, **options)  # type: ignore[arg-type]
            with psycopg.connect(url) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            child.stop()
    finally:
        shutil.rmtree(home.resolve())
    wait_until(lambda: not processes_in(home.resolve()))


def test_the_token_commands_in_the_api_docs_work(checkout: Path) -> None:
    docs = (CHECKOUT / "docs/api.md").read_text()
    pasted = next(b for b in re.findall(r"```sh\n(.*?)```", docs, re.DOTALL) if "TOKEN=" in b)
    process, printed = up(checkout, TWIT_OPEN_API="off", TWIT_PORT=str(free_port()))
    try:
        [address] = re.findall(r"Admin +(http://\S+)/admin/", printed)
        assert len(re.findall("home timeline after", printed)) == 3
        lines = pasted.replace("http://127.0.0.1:8000", address)
        status = """curl() { command curl -o /dev/null -w '%{http_code} ' "$@"; }\n"""
        answer = subprocess.run(
            ["bash", "-eu", "-c", status + lines.replace(".venv/bin/python", sys.executable)],
            cwd=checkout,
            env=ENV,
            check=True,
            capture_output=True,
            text=True,
        )
        assert answer.stdout.split() == ["201"] * 3 + ["200", "204"] + ["200"] * 3 + ["204"]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
