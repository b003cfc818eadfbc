"""Signals such as Ctrl-C, which take effect only where the supervisor waits.

A KeyboardInterrupt can be raised between any two instructions: after a child was started and before
it is recorded, or inside a library that prints it and continues. So nothing raises it here.
"""

import signal

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A stop signal has arrived."""


def end_at_once() -> None:
    """Let a stop signal end this process silently, while it has no children.

    SIGINT is unblocked because `make up` blocks it while Python itself starts. Shells start
    background jobs with it ignored.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


class StopSignals:
    """Remembers that a stop signal has arrived."""

    def __init__(self) -> None:
        self._have_arrived = False
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self._have_arrived = True

    def check(self) -> None:
        """Raise Stopped if one has arrived."""
        if self._have_arrived:
            raise Stopped
