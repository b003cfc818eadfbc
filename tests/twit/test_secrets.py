"""What lies in a checkout and goes neither into the repository nor into the image."""

import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from tests.stack import CHECKOUT
from tests.test_rooms import ROOMS

SECRETS = [
    *(".env", ".env.production", "deploy/.env", "server.pem", "twit/tls.key", "client.p12"),
    *(".twit/secrets/django", "dump.rdb", "appendonlydir/appendonly.aof", "twit.sqlite3"),
    *("twit/client.p12", "users/x.sqlite3", "tweets/dump.rdb"),
    *("celerybeat-schedule", "celerybeat-schedule.db", "celerybeat.pid", ".venv/pyvenv.cfg"),
]
DOCKERIGNORE = [
    line
    for line in (CHECKOUT / ".dockerignore").read_text().splitlines()
    if line and not line.startswith("#")
]


def is_sent(path: str) -> bool:
    """Return whether Docker's context has the file: the last pattern that matches it decides."""
    is_in = True
    parts = PurePosixPath(path).parts
    above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    for pattern in DOCKERIGNORE:
        text = re.escape(pattern.removeprefix("!"))
        text = text.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(text, name) for name in above):
            is_in = pattern.startswith("!")
    return is_in


def test_git_add_takes_no_secret_and_no_database(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text((CHECKOUT / ".gitignore").read_text())
    for name in SECRETS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    added = subprocess.run(
        ["git", "ls-files"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert added.stdout.split() == [".gitignore"]


@pytest.mark.parametrize("name", [*SECRETS, ".git/config", "backup.sql", "notes", "twit/.env.old"])
def test_the_image_gets_no_secret_and_nothing_unknown(name: str) -> None:
    assert not is_sent(name)


def test_the_image_gets_the_whole_program() -> None:
    listed = subprocess.run(
        ["git", "ls-files", *ROOMS, "fixtures"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    )
    copied = re.findall(r"^COPY (.*) \./$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    needed = [*listed.stdout.split(), *copied[0].split(), "manage.py"]
    assert len(needed) > 50
    assert [name for name in needed if not is_sent(name)] == []
