"""What `make up` says when it can't begin."""

import os
import subprocess
import venv
from pathlib import Path

import pip

NOBODY = 65534


def make(checkout: Path, user: int | None = None, **env: str) -> str:
    """Return what `make up` prints before it fails."""
    failed = subprocess.run(
        ["make", "up", "PYTHON=python3"],
        cwd=checkout,
        env={name: value for name, value in os.environ.items() if "MAKE" not in name} | env,
        check=False,
        capture_output=True,
        text=True,
        user=user,
        extra_groups=[] if user else None,
    )
    assert failed.returncode == 2
    return failed.stdout + "\n".join(
        line for line in failed.stderr.splitlines() if not line.startswith("make: ***")
    )


def test_offline_it_says_so_in_a_sentence(checkout: Path) -> None:
    venv.create(checkout / ".venv", symlinks=True)
    packages = str(Path(pip.__file__).parents[1])
    nowhere = "http://127.0.0.1:9/simple"
    printed = make(checkout, PYTHONPATH=packages, PIP_INDEX_URL=nowhere, PIP_CONFIG_FILE=os.devnull)
    assert printed == (
        "This machine is offline: pip can't reach its package index. See .venv/pip.log."
    )


def test_a_venv_whose_python_is_gone_is_named(checkout: Path) -> None:
    venv.create(checkout / ".venv", symlinks=True)
    for link in (checkout / ".venv/bin").glob("python*"):
        link.unlink()
        link.symlink_to("/nowhere/python3")
    config = checkout / ".venv/pyvenv.cfg"
    config.write_text("executable = /nowhere/python3\n")
    assert make(checkout) == (
        ".venv was made with /nowhere/python3, which is gone or which this account may not run: "
        "`make clean` removes .venv."
    )


def test_a_venv_of_another_account_is_named(checkout: Path) -> None:
    (checkout / ".venv").mkdir(mode=0o700)
    if os.geteuid() != 0:
        (checkout / ".venv").chmod(0)
    owner = (checkout / ".venv").owner()
    printed = make(checkout, NOBODY if os.geteuid() == 0 else None)
    assert printed.splitlines()[-1] == (
        f".venv belongs to {owner}, and this account may not use it: remove .venv as {owner}."
    )
    assert "missing" not in printed
    (checkout / ".venv").chmod(0o700)
