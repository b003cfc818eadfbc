"""`make up` in a checkout of its own: start, second start, stop, restart."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from tests.stack import CHECKOUT, wait_until
from tests.up import ENV, READY, kill, processes_in, python, stop, up
from twit.local import files, postgres, valkey
from twit.local.net import free_port


@pytest.mark.slow
def test_it_starts_shows_a_delivery_stops_and_restarts(checkout: Path) -> None:
    port = str(free_port())
    process, printed = up(checkout, TWIT_PORT=port)
    assert READY in printed, printed
    arrivals = re.findall(r"in (\w+)'s home timeline after \d+ ms", printed)
    assert sorted(arrivals) == ["alyssa", "eva", "louis"]
    api = f"http://127.0.0.1:{port}/tweets"
    assert f"Twit is up.\n  Page     http://127.0.0.1:{port}/\n  API      {api}\n" in printed
    tweets = httpx.get(api, timeout=30).json()

    assert_silent(checkout, seconds=3)
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
    later = httpx.get(f"{api}?limit=200", timeout=30).json()
    assert later[1:] == tweets  # the second demo posted one more
    stop(process, checkout, signal.SIGTERM)


def assert_silent(checkout: Path, seconds: float) -> None:
    """Check that no log grows while nobody uses the service, although workers sweep."""

    def sizes() -> dict[str, int]:
        return {log.name: log.stat().st_size for log in (checkout / ".twit/logs").iterdir()}

    def is_silent() -> bool:
        before = sizes()
        time.sleep(seconds)
        return sizes() == before

    wait_until(is_silent)  # once the wake-up of the demo tweet is over


@pytest.mark.slow
def test_a_database_that_it_did_not_fill_gets_no_tweet_and_keeps_its_admin(
    checkout: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"password": "secret", "log": tmp_path / "log", "durable": False}
    folder = Path(tempfile.mkdtemp(prefix="twit-postgres-"))  # any account can enter /tmp
    folder.chmod(0o755)
    server, url = postgres.start(folder / "home", **options)
    given = ENV | {"DATABASE_URL": url, "REDIS_URL": os.environ["REDIS_URL"], "SECRET_KEY": "x"}
    try:
        for command in ("migrate", "loaddata demo", "create_user admin --no-password"):
            ran = [sys.executable, "manage.py", *command.split()]
            subprocess.run(ran, cwd=checkout, env=given, check=True, capture_output=True)
        process, printed = up(checkout, TWIT_PORT=str(free_port()), DATABASE_URL=url)
        assert READY in printed, printed
        assert "home timeline after" not in printed
        assert "(one of your superusers)" in printed
        stop(process, checkout, signal.SIGINT)
        with psycopg.connect(url) as connection:
            count = connection.execute("SELECT count(*), max(id) FROM tweets_tweet").fetchone()
        assert count == (8, 8)
    finally:
        server.stop()
        shutil.rmtree(folder)


def is_written(log: Path, line: str) -> bool:
    return log.read_text().endswith(f"{line}\n")


@pytest.mark.parametrize("is_full", [False, True])
def test_a_long_log_begins_again_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_full: bool
) -> None:
    monkeypatch.setattr(files, "LOG_BYTES", 100)
    log = tmp_path / "web.log"
    if is_full:
        (tmp_path / "web.log.1").mkdir()  # nothing can be kept there
    program = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=output, text=True
        ) as child,
    ):
        assert child.stdin
        for line in ("x" * 60, "y" * 60, "z" * 60):
            child.stdin.write(f"{line}\n")
            child.stdin.flush()
            wait_until(partial(is_written, log, line))
            files.bound_log(log)
    assert log.read_text() == "z" * 60 + "\n"
    if not is_full:
        assert (tmp_path / "web.log.1").read_text() == "x" * 60 + "\n" + "y" * 60 + "\n"


@pytest.mark.slow
def test_three_valkeys_form_a_cluster(checkout: Path) -> None:
    process, printed = up(checkout, TWIT_PORT=str(free_port()), TWIT_VALKEYS="3")
    assert READY in printed, printed
    assert len(re.findall(r"^Valkey \d of 3 \.+ ready", printed, re.MULTILINE)) == 3
    assert len(re.findall(r"in \w+'s home timeline after \d+ ms", printed)) == 3
    kill(checkout, "valkey-server", "[cluster]")  # all three
    log = checkout / ".twit/logs/worker.log"
    admitted = log.read_text().count("is admitted")
    wait_until(lambda: log.read_text().count("is admitted") >= admitted + 3)
    stop(process, checkout, signal.SIGINT)


def test_a_cluster_that_restarts_at_other_ports_keeps_its_data(tmp_path: Path) -> None:
    for start in ("first", "second"):
        nodes = [
            valkey.start(
                tmp_path / str(number),
                password="secret",
                log=tmp_path / "log",
                config=valkey.of_a_node(),
            )
            for number in range(3)
        ]
        valkey.join([url for _, url in nodes])
        with redis.RedisCluster.from_url(nodes[0][1], protocol=2) as client:
            if start == "first":
                client.mset_nonatomic({str(number): "kept" for number in range(100)})
            assert client.mget_nonatomic(map(str, range(100))) == [b"kept"] * 100
        for child, _ in nodes:
            child.stop()


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


@pytest.mark.slow
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
