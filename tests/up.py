"""`make up` in a checkout of its own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.stack import CHECKOUT, wait_until

READY = "Ctrl-C stops it"
ENV = {
    name: value
    for name, value in os.environ.items()
    if name not in {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "TWIT_OPEN_API", "TWIT_HTTPS"}
}


@contextmanager
def copied_checkout() -> Iterator[Path]:
    """A copy of the project's files, in a folder that any account can enter."""
    folder = Path(tempfile.mkdtemp(prefix="twit-up-"))
    folder.chmod(0o755)
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for file in filter(None, files.split("\0")):
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / file, target)
    try:
        yield folder
    finally:
        kill_all(processes_in(folder))  # what a failed test left running
        shutil.rmtree(folder)


def up(checkout: Path, **env: str) -> tuple[subprocess.Popen[str], str]:
    """Start Twit as `make up` does. Return the process, and its output until it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "twit.local"],
        cwd=checkout,
        env=ENV | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if READY in line:
            break
    return process, printed


def python(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=checkout, env=ENV, check=False, capture_output=True, text=True
    )


def kill(folder: Path, *words: str) -> None:
    """Kill the processes whose command lines have all the words. Wait until others replace them."""

    def found() -> set[int]:
        return {
            pid for pid, line in processes_in(folder).items() if all(word in line for word in words)
        }

    killed = found()
    assert killed
    kill_all(killed)
    wait_until(lambda: found() - killed)


def kill_all(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it ended with another one
            os.kill(pid, signal.SIGKILL)


def processes_in(folder: Path) -> dict[int, str]:
    """Return the command lines, by process id, of all processes that run in the folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found[int(process.name)] = (process / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has exited, or it belongs to another account
    return found


def stop(process: subprocess.Popen[str], checkout: Path, number: signal.Signals) -> None:
    """Stop Twit with the signal. Check that no process, lock or environment file is left."""
    process.send_signal(number)
    assert process.wait(30) == 0
    assert process.stdout is not None
    process.stdout.close()
    wait_until(lambda: not processes_in(checkout), 10)  # those that were killed may be ending
    assert not (checkout / ".twit/lock").exists()
    assert not (checkout / ".twit/secrets/env").exists()
