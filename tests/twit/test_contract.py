"""What the OpenAPI document says, held against a running server by schemathesis."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site import Site
from tests.stack import CHECKOUT, Stack


def examine(stack: Stack, folder: Path, *options: str) -> str:
    """All checks of schemathesis, over HTTP; what it reports. Fails if it finds anything."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("run", f"{stack.address}/schema", "--checks", "all", "--max-examples", "40"),
        *("--seed", "1"),
        *("--continue-on-failure", "--no-color", *options),
    ]
    env = stack.env | {"SCHEMATHESIS_HOOKS": "tests.twit.schemathesis_hooks", "AUTHOR_ID": "1"}
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
    assert "Traceback" not in stack.log("web")
    assert "Internal Server Error" not in stack.log("web")
    return result.stdout


def test_an_open_server_keeps_its_contract(stack: Stack, tmp_path: Path) -> None:
    stack.manage("loaddata", "demo")
    stack.start_web(TWIT_LIMIT_LOGINS="off")
    assert "Tested: 10" in examine(stack, tmp_path)


@pytest.mark.parametrize("username", ["ben", "staff", None])
def test_a_server_that_asks_for_tokens_keeps_its_contract(
    site: Site, tmp_path: Path, username: str | None
) -> None:
    # Signing out would end the examination of all else.
    options = ["--exclude-path-regex", "logout"]
    if username:
        options += ["--header", f"Authorization: Token {site.login(username)}"]
    assert "Tested: 8" in examine(site, tmp_path, *options)


def test_signing_out_keeps_its_contract(site: Site, tmp_path: Path) -> None:
    token = site.login("cy")
    only = ["--include-path-regex", "logout", "--header", f"Authorization: Token {token}"]
    assert "Tested: 2" in examine(site, tmp_path, *only)
