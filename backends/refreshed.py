"""Values that a process asks for regularly, but not for each request."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Refreshed(Generic[_Value]):
    """A value that is asked for again if it is older than some seconds.

    One thread asks; the others use the old value meanwhile.
    """

    def __init__(self, ask: Callable[[], _Value], *, first: _Value, seconds: float) -> None:
        self._ask = ask
        self._value = first
        self._seconds = seconds
        self._due = time.monotonic()
        self._lock = threading.Lock()

    def value(self) -> _Value:
        """Return the value. Raises what asking for it raises; then the next call asks again."""
        if time.monotonic() >= self._due and self._lock.acquire(blocking=False):
            try:
                self._value = self._ask()
                self._due = time.monotonic() + self._seconds
            finally:
                self._lock.release()
        return self._value
