from collections.abc import Callable, Iterator

import pytest

from tests.timelines.machine import Worker


@pytest.fixture
def worker(db: None) -> Iterator[Callable[[], Worker]]:
    """worker() starts another worker with its own database connection."""
    workers: list[Worker] = []

    def start() -> Worker:
        workers.append(Worker())
        return workers[-1]

    yield start
    for started in workers:
        started.die()
        started.connection.close()
