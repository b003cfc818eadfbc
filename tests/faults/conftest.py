"""The figures of all faults, in a table at the end."""

import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.faults.cluster import Cluster
from tests.faults.load import Oracle

_rows: list[tuple[str, ...]] = []
_fairness: list[str] = []
Report = Callable[[str, Oracle, float], None]
FairnessReport = Callable[[list[float], list[float], list[float]], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests more time than the others have."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A running cluster of 100 users, in a folder that Postgres's own account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="twit-faults-"))
    folder.chmod(0o755)
    made = Cluster(folder)
    yield made
    made.stop()
    shutil.rmtree(folder)


@pytest.fixture
def report() -> Report:
    """report(fault, oracle, seconds): one row of the table."""

    def add(fault: str, oracle: Oracle, seconds: float) -> None:
        lost = len(oracle.wrongs)  # and those that `compare` finds fail the test
        figures = (f"{oracle.longest_seconds:.2f}", f"{seconds:.1f}", str(oracle.unavailable))
        _rows.append((fault, str(len(oracle.posted)), *figures, str(lost)))

    return add


@pytest.fixture
def fairness_report() -> FairnessReport:
    """fairness_report(alone, beside, deletes): seconds each."""

    def add(alone: list[float], beside: list[float], deletes: list[float]) -> None:
        for name, taken in (("alone", alone), ("beside a million", beside)):
            cuts = statistics.quantiles(taken, n=100)
            p50, p99 = 1000 * cuts[49], 1000 * cuts[98]
            _fairness.append(f"ordinary tweet, {name}: p50 {p50:.0f} ms, p99 {p99:.0f} ms")
        _fairness.append(f"longest DELETE meanwhile: {1000 * max(deletes):.0f} ms")

    return add


def pytest_terminal_summary() -> None:
    """Print the table."""
    table = Table(title="What each fault cost")
    for column in ("fault", "tweets posted", "longest request, s", "delivered after, s"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    table.add_column("answers 503", justify="right")
    table.add_column("lost or wrong", justify="right")
    for row in _rows:
        table.add_row(*row)
    for line in _fairness:
        print(line)
    if _rows:
        Console(width=110).print(table)
