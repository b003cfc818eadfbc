"""What `make up` prints."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


def say(text: str, end: str = "\n", file: TextIO | None = None) -> None:
    """Print at once. If the terminal or pipe is gone, continue silently."""
    file = file or sys.stdout
    try:
        print(text, end=end, file=file, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print the name of a step, and how long the `with` block took."""
    say(f"{name} ".ljust(34, "."), end=" ")
    started = time.monotonic()
    yield
    say(f"ready ({time.monotonic() - started:.1f} s)")
