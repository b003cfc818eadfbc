"""Child processes that never outlive the process that started them."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from twit.local.files import bound_log, open_private
from twit.local.terminal import say

READY_SECONDS = 60.0
POLL_SECONDS = 0.05
# How long an ended child waits for its first restart, its second, and so on. The last one repeats.
RESTART_SECONDS = (0, 1, 2, 4, 8, 16, 30)
WELL_SECONDS = 60.0  # after running for this long, it begins with the first pause again
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None

Pause = Callable[[float], None]  # sleeps for so many seconds, or raises to end the waiting
Account = tuple[int, int] | None  # the uid and gid to run as; None for this process's own


class StepFailed(Exception):
    """A step of the start failed. The text names the log, if there is one."""

    def __init__(self, what: str, log: Path | None = None) -> None:
        super().__init__(f"{what}\nSee the end of {log}" if log else what)


@dataclass
class Child:
    """A process that is started at once, in a session of its own: Ctrl-C reaches only the parent.

    `stop_signal` makes it stop cleanly. On Linux the kernel also sends it when the parent dies for
    any reason. Its output is appended to `log`; without one it goes to the parent's output. The
    log and all files that it creates are private to their owner.
    """

    name: str
    command: Sequence[str | Path]
    log: Path | None
    stop_signal: signal.Signals = signal.SIGTERM
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    user: Account = None
    stdin: bytes = b""
    is_ready: bool = field(default=False, init=False)
    process: subprocess.Popen[bytes] = field(init=False)
    log_start: int = field(default=0, init=False)  # where its output begins in the log
    _restarts: int = field(default=0, init=False)
    _restart_at: float | None = field(default=None, init=False)  # None while it runs

    def __post_init__(self) -> None:
        self._spawn()

    def _spawn(self) -> None:
        if self.log is None:
            self.process = self._popen(None)
        else:
            bound_log(self.log)
            with open(self.log, "ab", opener=open_private) as output:
                self.log_start = output.tell()
                self.process = self._popen(output)
        self._started_at, self._restart_at = time.monotonic(), None
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already
            self.process.stdin.write(self.stdin)
            self.process.stdin.close()

    def _popen(self, output: IO[bytes] | None) -> subprocess.Popen[bytes]:
        uid, gid = self.user or (None, None)
        before_exec = partial(_libc.prctl, _PR_SET_PDEATHSIG, self.stop_signal) if _libc else None
        return subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env=self.env,
            cwd=self.cwd,
            user=uid,
            group=gid,
            extra_groups=[] if self.user else None,
            umask=0o077,
            start_new_session=True,
            preexec_fn=before_exec,  # noqa: PLW1509 (there are no threads)
        )

    def check_alive(self) -> None:
        """Raise StepFailed if it has ended."""
        if (code := self.process.poll()) is not None:
            raise StepFailed(f"{self.name} ended with code {code}", self.log)

    def wait_for(
        self, check: Callable[[], object], *not_yet: type[Exception], pause: Pause = time.sleep
    ) -> None:
        """Return once `check` raises none of `not_yet`, or stop the child and raise StepFailed."""
        deadline = time.monotonic() + READY_SECONDS
        try:
            while not self.is_ready:
                self.check_alive()
                try:
                    check()
                    self.is_ready = True
                except not_yet as error:
                    if time.monotonic() > deadline:
                        late = f"{self.name} was not ready within {READY_SECONDS:.0f} s: {error}"
                        raise StepFailed(late, self.log) from error
                    pause(POLL_SECONDS)
        except BaseException:
            self.stop()
            raise

    def restart_if_ended(self) -> None:
        """Start it again if it has ended and its pause is over. Returns at once in any case."""
        if (code := self.process.poll()) is None:
            return
        now = time.monotonic()
        if self._restart_at is None:
            self._kill_group()
            if now - self._started_at > WELL_SECONDS:
                self._restarts = 0
            self._plan_restart(f"ended with code {code}")
        elif now >= self._restart_at:
            try:
                self._spawn()
            except OSError as error:  # no memory, no descriptors, a package being upgraded
                self._plan_restart(f"did not start ({error})")

    def bound_log(self) -> None:
        """Empty its log if that has become too long."""
        if self.log:
            bound_log(self.log)

    def _plan_restart(self, what: str) -> None:
        seconds = RESTART_SECONDS[min(self._restarts, len(RESTART_SECONDS) - 1)]
        self._restarts += 1
        self._restart_at = time.monotonic() + seconds
        when = f"in {seconds} s" if seconds else "now"
        say(f"{self.name} {what} and starts again {when}; see {self.log}")

    def stop(self, seconds: float = 15.0) -> None:
        """Ask it to stop, and kill it after `seconds`. Kill what is left of its own children."""
        if self._restart_at is not None:  # it has ended, and is not started again
            return
        self.process.send_signal(self.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        self._kill_group()
        self.process.wait()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS: not permitted on zombies
            os.killpg(self.process.pid, signal.SIGKILL)


def run(child: Child, pause: Pause = time.sleep) -> None:
    """Wait until the child ends by itself. Raises StepFailed unless it ends with code 0."""
    try:
        while child.process.poll() is None:
            pause(POLL_SECONDS)
        if child.process.returncode:
            child.check_alive()
    finally:
        child.stop()
