"""The documents and the deployment files agree with the code."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from api import limits
from backends.engine.patience import COMMAND, REQUEST, WORKER
from tests.stack import CHECKOUT
from twit.environment import Environment

README = (CHECKOUT / "README.md").read_text()
COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())


VARIABLES = set(Environment.model_fields)


def test_the_settings_table_is_complete() -> None:
    table = (CHECKOUT / "docs/settings.md").read_text()
    listed = re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE)
    elsewhere = {"TEST_DATABASE_URL", "TEST_REDIS_URL"}
    assert sorted(listed) == sorted(VARIABLES | elsewhere)


def test_the_errors_table_has_every_status_code_of_the_api() -> None:
    table = (CHECKOUT / "docs/api.md").read_text()
    listed = set(re.findall(r"^\| (\d{3}) \|", table, re.MULTILINE))
    paths = yaml.safe_load((CHECKOUT / "openapi.yml").read_text())["paths"]
    described = {
        status
        for operations in paths.values()
        for operation in operations.values()
        for status in operation["responses"]
        if status.startswith(("4", "5"))
    }
    assert listed == described | {"405", "431"}


def test_the_documented_limits_are_the_defaults() -> None:
    table = (CHECKOUT / "docs/settings.md").read_text()
    periods = {24 * 3600: "1d", 3 * 3600: "3h", 3600: "1h", 900: "15m"}
    for scope, (count, seconds) in limits.DEFAULTS.items():
        row = rf"\| `TWIT_LIMIT_{scope.upper()}` \| `{count}/{periods[seconds]}`"
        assert re.search(row, table), row


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) <= 140
    for document in (CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), (document.name, target)


def test_the_endpoints_table_is_complete() -> None:
    """It lists the same errors as openapi.yml, except those that any endpoint can return."""
    everywhere = {304, 406, 408, 413, 415, 429, 503}
    listed = {
        (method, re.sub(r":(\w+)", r"{\1}", path.replace(":userId", ":user_id"))): {
            int(status) for status in errors.split(", ") if status
        }
        for method, path, errors in re.findall(
            r"^\| `([A-Z]+) (/[^`]*)` \|.*\| ([0-9, ]*?) ?\| [\w-]+ \|$", README, re.MULTILINE
        )
    }
    paths = yaml.safe_load((CHECKOUT / "openapi.yml").read_text())["paths"]
    described = {
        (method.upper(), path): {
            int(status) for status in operation["responses"] if not status.startswith("2")
        }
        - everywhere
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert listed == described


def test_long_running_services_have_health_checks() -> None:
    without = {n for n, service in COMPOSE["services"].items() if "healthcheck" not in service}
    assert without == {"migrate"}


def test_the_compose_files_commands_exist() -> None:
    binaries = Path(sys.executable).parent
    for name in ("migrate", "worker", "beat"):
        program, *arguments = COMPOSE["services"][name]["command"]
        assert shutil.which(program, path=str(binaries)), program
        asks_help = [str(binaries / program), *arguments, "--help"]
        subprocess.run(asks_help, cwd=CHECKOUT, check=True, capture_output=True)
    web = re.findall(r"^CMD (\[.*\])$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    program, *arguments = json.loads(web[0])
    asks_help = [str(binaries / program), *arguments, "--help"]
    subprocess.run(asks_help, cwd=CHECKOUT, check=True, capture_output=True)


def test_the_compose_files_variables_exist() -> None:
    for name in ("migrate", "web", "worker", "beat"):
        passed_on = set(COMPOSE["services"][name]["environment"]) - {"PGPASSWORD"}  # libpq's
        assert passed_on == VARIABLES - {"DEBUG", "TWIT_PORT", "TWIT_VALKEYS"}
    text = (CHECKOUT / "docker-compose.yml").read_text()
    substituted = set(re.findall(r"\$\{([A-Z_]+)", text))
    of_others = {"POSTGRES_PASSWORD", "GRAFANA_PASSWORD", "VALKEY_MEMORY"}
    of_this_file = {"HTTP_ADDRESS", "HTTP_PORT", "WORKERS", "WEB_SERVERS"}
    assert substituted <= VARIABLES | of_others | of_this_file


def test_the_generated_protobuf_is_up_to_date(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", "proto"]
    output = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", "proto/tweet_lite.proto"]
    subprocess.run([*command, *output], cwd=CHECKOUT, check=True)
    for generated in tmp_path.iterdir():
        assert generated.read_text() == (CHECKOUT / "timelines/lists" / generated.name).read_text()


def test_no_committed_file_names_a_package_registry() -> None:
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    pattern = re.compile(r"https?://[a-z0-9.-]*(pypi|pythonhosted|registry|npmjs)[a-z0-9.-]*")
    named = [f for f in files if f.endswith((".txt", ".toml", ".lock", ".cfg", ".yml", ".json"))]
    assert named
    assert not [f for f in named if pattern.search((CHECKOUT / f).read_text())]


def test_the_time_limits_are_documented() -> None:
    text = (CHECKOUT / "docs/operations.md").read_text().partition("## Time limits")[2]
    rows = re.findall(r"^\| [^|]+? \| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \|$", text, re.MULTILINE)
    documented = [
        [None if cell == "none" else float(cell) for cell in column]
        for column in zip(*rows[2:8], strict=True)
    ]
    limits = [
        [limit.connect, limit.silence, limit.lock, limit.statement, limit.answer, limit.idle]
        for limit in (REQUEST, WORKER, COMMAND)
    ]
    assert documented == limits
