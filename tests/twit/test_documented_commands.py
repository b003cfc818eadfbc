"""Every shell command in the documents is run by a test, or listed as not run, with the reason."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from tests.site import Site
from tests.stack import CHECKOUT, Stack
from twit.local.postgres import package

DOCUMENTS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
OPERATIONS = (CHECKOUT / "docs/operations.md").read_text()
TWIT, TIMELINES, USERS = "tests/twit/test_", "tests/timelines/test_commands.py::", "tests/users/"
HERE = f"{TWIT}documented_commands.py::test_"
DEPLOYMENT = f"{TWIT}deployment.py::test_"
MANAGE = ".venv/bin/python manage.py "
# What a command starts with, and the test that runs it, perhaps with other ports and paths.
RUN = {
    "make up ": f"{TWIT}up.py::test_the_token_commands_in_the_api_docs_work",
    "curl -s http://127.0.0.1:8000/tweets": f"{TWIT}stack.py::test_the_curl_commands_in_the_",
    "curl -s": f"{HERE}the_curl_commands_about_people_work",
    "TOKEN=": f"{TWIT}up.py::test_the_token_commands_in_the_api_docs_work",
    "for n in 1 2 3": f"{TWIT}limits.py::test_the_documented_check_of_twit_proxies",
    "for name in SECRET_KEY": f"{DEPLOYMENT}debians_docker_compose_takes_the_documented_env",
    "docker compose exec -T postgres psql": f"{TWIT}account.py::test_the_documented_command_",
    "docker compose exec web python manage.py create_user eva": f"{HERE}a_backup_brings_back",
    "docker compose exec web python manage.py create_token eva": f"{HERE}a_backup_brings_back",
    "docker compose exec -T postgres pg_": f"{HERE}a_backup_brings_back",
    "docker compose run --rm": f"{HERE}a_backup_brings_back",
    "cp -r deploy/systemd/. /etc/systemd/system/": f"{DEPLOYMENT}systemd_accepts_the_units",
    "set -a; . /etc/twit/env; set +a": f"{DEPLOYMENT}the_documented_file_means_the_same_to_a_shell",
    "TWIT_METRICS_": "tests/faults/test_alerts.py::test_",
    f"{MANAGE}loaddata demo": f"{USERS}test_graph.py::test_a_tweet_created_after_loaddata",
    f"{MANAGE}import_follows": f"{USERS}test_graph.py::test_every_common_edge_list_format",
    f"{MANAGE}create_user eva": f"{USERS}test_create_user.py::test_a_terminals_user_types",
    f"{MANAGE}create_user bot --no": f"{USERS}test_create_user.py::test_a_user_without_a_password",
    f"{MANAGE}create_token": f"{TWIT}permissions.py::test_create_token_prints_a_valid_token",
    f"{MANAGE}fanout_status": f"{TIMELINES}test_fanout_status_reports_the_backlog",
    f"{MANAGE}deliver_pending": f"{TIMELINES}test_deliver_pending_reports_what_it_did",
    f"{MANAGE}verify_timelines": f"{TIMELINES}test_sample_sets_the_number_of_timelines",
    f"{MANAGE}rebuild_timelines": f"{TIMELINES}test_users_are_given_by_username_or_id",
    f"{MANAGE}forget_timelines": f"{TIMELINES}test_all_selects_every_materialised_timeline",
    f"{MANAGE}explain_timeline": "tests/timelines/test_explain.py::test_a_tweet_by_somebody_who_is",
    f"{MANAGE}check_": f"{TIMELINES}test_a_check_fails_until_its_process_was_seen",
}
NEEDS_DOCKER = "it needs a Docker daemon; the files are checked in test_deployment.py"
NEEDS_SYSTEMD = "it needs a running systemd; the units are verified in test_deployment.py"
CHANGES = "it changes the machine; test_nginx.py runs nginx with these files"
NOT_RUN = {
    "make test": "it runs this test",
    "docker compose up": NEEDS_DOCKER,
    "docker compose build": NEEDS_DOCKER,
    "docker compose stop": NEEDS_DOCKER,
    "docker compose exec web python manage.py createsuperuser": "Django's, and it needs a terminal",
    f"{MANAGE}createsuperuser": "Django's, and it needs a terminal",
    f"{MANAGE}generate_graph": "it takes long; test_generate_graph.py runs it with less",
    "python3 -m venv": "the Makefile does the same",
    ".venv/bin/pip install": "the Makefile does the same",
    "systemctl": NEEDS_SYSTEMD,
    "mkdir -p /etc/nginx": CHANGES,
    "cp deploy/nginx/": CHANGES,
    "nginx -t": CHANGES,
    "redis-cli": "the test of the lines before it asks Redis for the same keys",
    "REDIS_URL=": "settings; test_environment.py reads such URLs",
    "BROKER_URL=": "settings; test_environment.py reads such URLs",
    "LIMITS_URL=": "settings; test_environment.py reads such URLs",
}


def blocks(text: str) -> list[str]:
    """Return the blocks of shell commands in a document."""
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> Iterator[str]:
    for document in DOCUMENTS:
        for block in blocks(document.read_text()):
            # The lines of a loop are one command.
            yield from re.findall(
                r"(?:^for .*?done\b.*?$|^.*?$)\n", block, re.MULTILINE | re.DOTALL
            )


def known(command: str) -> str:
    """Return the longest start that is listed for a command."""
    starts = [start for start in (*RUN, *NOT_RUN) if command.startswith(start)]
    return max(starts, key=len, default="")


def test_every_documented_command_is_run_or_has_a_reason() -> None:
    found = {command: known(command) for command in commands()}
    assert len(found) > 50
    assert [command for command, start in found.items() if not start] == []
    assert set(found.values()) == RUN.keys() | NOT_RUN.keys()


def test_the_tests_that_run_them_exist() -> None:
    for test in RUN.values():
        file, _, name = test.partition("::")
        assert f"\ndef {name}" in (CHECKOUT / file).read_text(), test


def test_the_curl_commands_about_people_work(site: Site) -> None:
    documented = blocks((CHECKOUT / "docs/api.md").read_text())
    script = """curl() {
        case "$*" in *Authorization*) ;; *) set -- "$@" -H "Authorization: Bearer $TOKEN" ;; esac
        command curl -o /dev/null -w '%{http_code} ' "$@"
    }
    """
    script += "".join(block for block in documented if "/followed/5" in block or "/me" in block)
    script = script.replace("http://127.0.0.1:8000", site.address)
    token = site.login("ben")
    answer = subprocess.run(
        ["bash", "-eu", "-c", script],
        env=os.environ | {"TOKEN": token},
        check=True,
        capture_output=True,
        text=True,
    )
    assert answer.stdout.split() == ["200", "204", "200", "204", "200", "200"]


# Stands in for Docker: runs what a container would, here.
DOCKER = """#!/bin/sh
verb=$2
shift 2
[ $verb = exec ] || [ $verb = run ] || exit 1
while [ "${1#-}" != "$1" ]; do shift; done
[ $# -gt 1 ] || set -- migrate python manage.py migrate
shift
exec "$@"
"""


@pytest.fixture
def operator(django_db_setup: None, tmp_path: Path) -> Iterator[Stack]:
    """A database of its own, and a PATH with Postgres's programs and with what acts as Docker."""
    server, _, former = os.environ["DATABASE_URL"].rpartition("/")
    name = f"{connection.settings_dict['NAME']}_backup"
    with psycopg.connect(f"{server}/{former}", autocommit=True) as administrator:
        administrator.execute(f"CREATE DATABASE {name}")
        stack = Stack(tmp_path, f"{server}/{name}", settings.REDIS_URL)
        (tmp_path / "manage.py").symlink_to(CHECKOUT / "manage.py")
        for program, text in (("docker", DOCKER), ("python", f'exec {sys.executable} "$@"\n')):
            (tmp_path / program).write_text(text)
            (tmp_path / program).chmod(0o755)
        known = connection.settings_dict
        stack.env |= {
            "PATH": f"{tmp_path}:{package() / 'pginstall/bin'}:{os.environ['PATH']}",
            "PGHOST": known["HOST"],
            "PGPORT": str(known["PORT"]),
            "PGPASSWORD": known["PASSWORD"],
        }
        yield stack
        stack.stop()
        administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


def run(operator: Stack, start: str, stdin: str = "") -> str:
    """Run those documented commands that start like this. Return what they print."""
    name = operator.database_url.rpartition("/")[2]
    script = "".join(
        re.sub(r"(-d|-Fc) twit ", rf"\1 {name} ", line)
        for block in blocks(OPERATIONS)
        if start in block
        for line in block.splitlines(keepends=True)
        if known(line) not in NOT_RUN
    )
    ended = subprocess.run(
        ["sh", "-euxc", script],
        cwd=operator.folder,
        env=operator.env,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_a_backup_brings_back_a_tweet_that_was_deleted_since(operator: Stack) -> None:
    """The documented commands run as they are, in containers that are none."""
    operator.manage("migrate", "--verbosity", "0")
    user, token = run(operator, "create_user eva\ndocker", "a long password\n").split()
    assert (user, len(token)) == ("1", 64)
    posted = "INSERT INTO tweets_tweet (author_id, message) VALUES (1, 'hi') RETURNING id"
    [(tweet,)] = operator.sql(posted)
    run(operator, "pg_dump")
    operator.sql("DELETE FROM tweets_tweet")
    renewed = run(operator, "pg_restore")
    assert "timelines forgotten" in renewed
    assert operator.sql("SELECT id, message FROM tweets_tweet") == [(tweet, "hi")]
    [(follow_up,)] = operator.sql(posted)  # triggers and sequences are back, too
    assert follow_up > tweet
    fan_outs = operator.sql("SELECT tweet_id FROM timelines_fanout ORDER BY 1")
    assert fan_outs == [(tweet,), (follow_up,)]
