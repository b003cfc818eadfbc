"""`make up` in a checkout of its own: start, second start, stop, restart."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.stack import CHECKOUT, wait_until
from tests.up import ENV, READY, kill, processes_in, python, stop, up
from twit.local import postgres
from twit.local.net import free_port


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

    kill(checkout, "celery", "worker")

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
