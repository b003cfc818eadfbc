"""Parts that end are started again, and a stop signal at any moment leaves nothing behind."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.up import ENV, READY, kill, processes_in
from twit.local import process
from twit.local.net import free_port
from twit.local.process import Child
from twit.local.signals import STOP_SIGNALS, end_at_once

MOMENTS = int(os.environ.get("TWIT_MOMENTS", "2"))


def make_up(checkout: Path) -> str:
    """Return the command of `make up`. Make itself loses a signal while it starts a process."""
    binaries = f"BIN={Path(sys.executable).parent}"
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/local.stamp", "up", binaries]
    return subprocess.run(
        command, cwd=checkout, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def output_of(checkout: Path, signals: list[tuple[float, signal.Signals]]) -> str:
    """Run Twit, send signals as a terminal does, each after a pause, and wait for the end."""
    with subprocess.Popen(
        ["sh", "-c", make_up(checkout)],
        cwd=checkout,
        env=ENV | {"TWIT_PORT": str(free_port())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # In the background, SIGINT is ignored.
        preexec_fn=end_at_once,  # noqa: PLW1509
    ) as started:
        for seconds, number in signals:
            time.sleep(seconds)
            try:
                os.killpg(started.pid, number)
            except ProcessLookupError:
                break
        output, _ = started.communicate(timeout=60)  # until the last process has ended
    return output


@pytest.mark.slow
@pytest.mark.timeout(60 + 60 * MOMENTS)
def test_a_stop_signal_at_any_moment_leaves_no_traceback_and_no_process(checkout: Path) -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    for number in range(MOMENTS):
        first = rng.uniform(0, 1 if number % 2 else 15)  # half of them while Python starts
        kind = rng.choice(STOP_SIGNALS)
        again = [(rng.choice((0.001, 0.1, 1)), rng.choice(STOP_SIGNALS))] * rng.randint(0, 1)
        story = f"seed {seed}, run {number}: {kind.name} after {first:.2f} s, then {again}"
        output = output_of(checkout, [(first, kind), *again])
        assert "Traceback" not in output, f"{story}\n{output}"
        assert "Exception ignored" not in output, f"{story}\n{output}"
        assert processes_in(checkout) == {}, story
        assert not (checkout / ".twit/lock").exists(), story
        assert not (checkout / ".twit/secrets/env").exists(), story


@pytest.mark.slow
def test_it_goes_on_without_a_word_when_nobody_reads_its_output(checkout: Path) -> None:
    with (checkout / "errors").open("w") as errors:
        started = subprocess.Popen(
            [sys.executable, "-m", "twit.local"],
            cwd=checkout,
            env=ENV | {"TWIT_PORT": str(free_port())},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert started.stdout
    assert any(READY in line for line in started.stdout)
    started.stdout.close()
    kill(checkout, "celery", "beat")  # it would say so
    started.send_signal(signal.SIGINT)
    assert started.wait(60) == 0
    assert (checkout / "errors").read_text() == ""


class Clock:
    """Stands in for `time` where children are watched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(process, "time", self)

    def monotonic(self) -> float:
        return self.now

    def seconds_until_restarted(self, child: Child) -> float:
        """Wait until the child has ended, and return when it is started again."""
        before, since = child.process, self.now
        before.wait()
        while child.process is before:
            child.restart_if_ended()
            self.now += 0.125
        return self.now - since


def test_a_part_that_keeps_ending_is_started_again_after_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    child = Child("web", ["false"], tmp_path / "log")
    waited = [int(clock.seconds_until_restarted(child)) for _ in range(8)]
    child.stop()
    assert waited == [0, 1, 2, 4, 8, 16, 30, 30]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(waited)
    assert lines[0] == f"web ended with code 1 and starts again now; see {tmp_path}/log"
    assert lines[-1] == f"web ended with code 1 and starts again in 30 s; see {tmp_path}/log"


def test_after_a_minute_the_next_restart_is_immediate_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    child = Child("web", ["sleep", "1000"], tmp_path / "log")
    waited = []
    for seconds in (0, 0, 59, 61):
        clock.now += seconds
        child.process.kill()
        waited.append(int(clock.seconds_until_restarted(child)))
    child.stop()
    assert waited == [0, 1, 2, 0]


def test_a_part_that_can_not_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(monkeypatch)
    program = tmp_path / "program"
    program.symlink_to("/bin/true")
    child = Child("web", [program], tmp_path / "log")
    child.process.wait()
    program.unlink()
    for _ in range(20):
        child.restart_if_ended()
        clock.now += 1
    program.symlink_to("/bin/true")
    assert clock.seconds_until_restarted(child) < 30
    child.stop()
    assert "web did not start ([Errno 2] No such file" in capsys.readouterr().out
