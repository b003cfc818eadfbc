"""The steps of a start: a line of progress, and waiting until a part is ready."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from twit.local.process import Child, StepFailed


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print the step's name and then how long it took."""
    print(f"{name} ".ljust(34, "."), end=" ", flush=True)
    started = time.monotonic()
    yield
    print(f"ready ({time.monotonic() - started:.1f} s)", flush=True)


def wait_for(child: Child, is_ready: Callable[[], bool], seconds: float = 60) -> None:
    """Return once `is_ready`. Raises StepFailed if the child ends or takes too long."""
    deadline = time.monotonic() + seconds
    while not is_ready():
        child.check_alive()
        if time.monotonic() > deadline:
            raise StepFailed(f"{child.name} was not ready within {seconds:.0f} s", child.log)
        time.sleep(0.05)


def answers(address: str) -> bool:
    """Return whether the API answers at that address."""
    try:
        return httpx.get(f"{address}/tweets?limit=1", trust_env=False).is_success
    except httpx.TransportError:
        return False


def is_working(worker_name: str) -> bool:
    """Return whether that Celery worker answers a ping through the broker."""
    from twit.celery import app

    return bool(app.control.ping(destination=[worker_name], limit=1, timeout=0.5))
