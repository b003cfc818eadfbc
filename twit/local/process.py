"""Child processes that never outlive the process that started them."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

TOO_SOON_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class StepFailed(Exception):
    """A step of the start failed. `log` is the file that tells more."""

    def __init__(self, what: str, log: Path | None = None) -> None:
        super().__init__(what)
        self.log = log


@dataclass
class Child:
    """A running server. `stop_signal` makes it stop cleanly."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals
    start_again: Callable[[], "Child"]
    replaced_at: float | None = None

    def check_alive(self) -> None:
        """Raise StepFailed if it has ended."""
        code = self.process.poll()
        if code is not None:
            raise StepFailed(f"{self.name} ended with code {code}", self.log)

    def replace(self) -> "Child":
        """Start it again after it ended by itself, and kill what is left of it.

        Raises StepFailed if it was a replacement itself and ended within TOO_SOON_SECONDS.
        """
        now = time.monotonic()
        if self.replaced_at is not None and now - self.replaced_at < TOO_SOON_SECONDS:
            self.check_alive()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        again = self.start_again()
        again.replaced_at = now
        return again

    def stop(self, seconds: float = 15.0) -> None:
        """Ask it to stop. After `seconds` kill it, with all processes that it started."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def start(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    stop_signal: signal.Signals = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: tuple[int, int] | None = None,
    stdin: bytes = b"",
) -> Child:
    """Start `command` in a session of its own, so that Ctrl-C reaches only the parent.

    On Linux the kernel sends `stop_signal` to the child when its parent dies for any reason. `user`
    is the (uid, gid) to run as. The output is appended to `log`.
    """

    def die_with_parent() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, stop_signal)

    uid, gid = user or (None, None)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            user=uid,
            group=gid,
            extra_groups=[] if user else None,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 (there are no threads)
        )
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.close()
    again = partial(
        start,
        name,
        command,
        log=log,
        stop_signal=stop_signal,
        env=env,
        cwd=cwd,
        user=user,
        stdin=stdin,
    )
    return Child(name, process, log, stop_signal, again)
