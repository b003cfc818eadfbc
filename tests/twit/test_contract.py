"""Schemathesis checks running servers against the OpenAPI document."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.site import Site
from tests.stack import CHECKOUT, Stack
from users.models import User

pytestmark = pytest.mark.slow

PASSWORD = "a-long-secret-7"
STREAM = "streamHomeTimeline"  # responses without an end: tests/timelines/test_streams.py


def run_schemathesis(stack: Stack, folder: Path, *options: str, password: str = PASSWORD) -> str:
    """Run all checks of schemathesis over HTTP. Return its report. Fail if a check fails."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("run", f"{stack.address}/schema", "--checks", "all", "--max-examples", "6"),
        *("--seed", "1", "--exclude-operation-id", STREAM),
        *("--continue-on-failure", "--no-color", *options),
    ]
    env = stack.env | {"SCHEMATHESIS_HOOKS": "tests.twit.schemathesis_hooks", "AUTHOR_ID": "1"}
    env["PASSWORD"] = password
    logged_before = len(stack.log("web"))
    result = subprocess.run(
        command,
        cwd=folder,
        env=env | {"PYTHONPATH": str(CHECKOUT)},
        check=False,
        capture_output=True,
        text=True,
    )
    failures = re.sub(r"(.{3,9})\1{9,}", r"\1...", result.stdout.partition("FAILURES")[2])
    assert result.returncode == 0, failures[:6000] + result.stderr[-2000:]
    logged = stack.log("web")[logged_before:]
    assert "Traceback" not in logged
    assert "Internal Server Error" not in logged
    return result.stdout


def test_an_open_server_conforms_to_the_schema(stack: Stack, tmp_path: Path) -> None:
    call_command("loaddata", "demo", verbosity=0)
    stack.start_web(TWIT_LIMIT_LOGINS="off", TWIT_LIMIT_SIGN_UPS="off")
    assert "Tested: 24" in run_schemathesis(stack, tmp_path)


def test_sign_up_conforms_to_the_schema(stack: Stack, tmp_path: Path) -> None:
    stack.start_web(TWIT_LIMIT_SIGN_UPS="off", TWIT_SIGN_UP="on")
    assert "Tested: 2" in run_schemathesis(stack, tmp_path, "--include-path", "/users")
    assert User.objects.count() > 10


@pytest.mark.parametrize("username", ["ben", "moderator", None])
def test_a_server_that_requires_tokens_conforms_to_the_schema(
    site: Site, tmp_path: Path, username: str | None
) -> None:
    # A logout would revoke the token of all later requests. Passwords take long to hash.
    options = ["--exclude-path-regex", "logout|password"]
    if username:
        options += ["--header", f"Authorization: Bearer {site.login(username)}"]
    assert "Tested: 21" in run_schemathesis(site, tmp_path, *options)


@pytest.mark.parametrize(("paths", "operations"), [("logout", 2), ("password", 1)])
def test_what_ends_tokens_conforms_to_the_schema(
    site: Site, tmp_path: Path, paths: str, operations: int
) -> None:
    token = site.login("cy")
    only = ["--include-path-regex", paths, "--header", f"Authorization: Bearer {token}"]
    report = run_schemathesis(site, tmp_path, *only, password="password of cy")
    assert f"Tested: {operations}" in report
