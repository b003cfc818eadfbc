"""Schemathesis checks running servers against the OpenAPI document."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site import Site
from tests.stack import CHECKOUT, Stack


def run_schemathesis(stack: Stack, folder: Path, *options: str) -> str:
    """Run all checks of schemathesis over HTTP. Return its report. Fail if a check fails."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("run", f"{stack.address}/schema", "--checks", "all", "--max-examples", "40"),
        *("--seed", "1"),
        *("--continue-on-failure", "--no-color", *options),
    ]
    env = stack.env | {"SCHEMATHESIS_HOOKS": "tests.twit.schemathesis_hooks", "AUTHOR_ID": "1"}
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
    stack.manage("loaddata", "demo")
    stack.start_web(TWIT_LIMIT_LOGINS="off")
    assert "Tested: 10" in run_schemathesis(stack, tmp_path)


@pytest.mark.parametrize("username", ["ben", "moderator", None])
def test_a_server_that_requires_tokens_conforms_to_the_schema(
    site: Site, tmp_path: Path, username: str | None
) -> None:
    # A logout would revoke the token of all later requests.
    options = ["--exclude-path-regex", "logout"]
    if username:
        options += ["--header", f"Authorization: Token {site.login(username)}"]
    assert "Tested: 8" in run_schemathesis(site, tmp_path, *options)


def test_logout_conforms_to_the_schema(site: Site, tmp_path: Path) -> None:
    token = site.login("cy")
    only = ["--include-path-regex", "logout", "--header", f"Authorization: Token {token}"]
    assert "Tested: 2" in run_schemathesis(site, tmp_path, *only)
