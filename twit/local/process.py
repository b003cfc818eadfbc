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

READY_SECONDS = 60.0
TOO_SOON_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class StepFailed(Exception):
    """A step of the start failed. The text names the log that tells more, if there is one."""

    def __init__(self, what: str, log: Path | None = None) -> None:
        super().__init__(f"{what}\nSee the end of {log}" if log else what)


@dataclass
class Child:
    """A process that is started at once, in a session of its own: Ctrl-C reaches only the parent.

    `stop_signal` makes it stop cleanly. On Linux the kernel also sends it when the parent dies for
    any reason. `user` is the (uid, gid) to run as. The output is appended to `log`.
    """

    name: str
    command: Sequence[str | Path]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    user: tuple[int, int] | None = None
    stdin: bytes = b""
    replaced_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        uid, gid = self.user or (None, None)
        before_exec = partial(_libc.prctl, _PR_SET_PDEATHSIG, self.stop_signal) if _libc else None
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.cwd,
                user=uid,
                group=gid,
                extra_groups=[] if self.user else None,
                start_new_session=True,
                preexec_fn=before_exec,  # noqa: PLW1509 (there are no threads)
            )
        assert process.stdin is not None
        process.stdin.write(self.stdin)
        process.stdin.close()
        return process

    def check_alive(self) -> None:
        """Raise StepFailed if it has ended."""
        if (code := self.process.poll()) is not None:
            raise StepFailed(f"{self.name} ended with code {code}", self.log)

    def wait_for(self, check: Callable[[], object], *not_yet: type[Exception]) -> None:
        """Return once `check` raises none of `not_yet`, or stop the child and raise StepFailed."""
        deadline = time.monotonic() + READY_SECONDS
        try:
            while True:
                self.check_alive()
                try:
                    check()
                    return
                except not_yet as error:
                    if time.monotonic() > deadline:
                        late = f"{self.name} was not ready within {READY_SECONDS:.0f} s: {error}"
                        raise StepFailed(late, self.log) from error
                time.sleep(0.05)
        except BaseException:
            self.stop()
            raise

    def replace(self) -> None:
        """Start it again after it ended. Raises StepFailed if its replacement ended too soon."""
        now = time.monotonic()
        if now - self.replaced_at < TOO_SOON_SECONDS:
            self.check_alive()
        with suppress(ProcessLookupError):  # its own children may still run
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process = self._spawn()
        self.replaced_at = now

    def stop(self, seconds: float = 15.0) -> None:
        """Ask it to stop. After `seconds` kill it, with all processes that it started."""
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
