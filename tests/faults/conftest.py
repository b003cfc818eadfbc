"""Fixtures for the fault tests, and a table of their figures at the end of the run."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.faults.cluster import Cluster
from tests.faults.load import Oracle
from tests.faults.network import Network, own_network

_rows: list[tuple[str, ...]] = []
_notes: list[str] = []
Report = Callable[[str, Oracle, float], None]
Note = Callable[[str], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests a longer timeout than the others."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.timeout(900))


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that the account of Postgres can enter."""
    folder = Path(tempfile.mkdtemp(prefix="twit-faults-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def running(*, proxied: bool = False, timelines: str = "", **env: str) -> Iterator[Cluster]:
    """A running cluster with 100 users."""
    with temporary_folder() as folder:
        made = Cluster(folder, proxied=proxied, timelines=timelines, **env)
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running() as made:
        yield made


@pytest.fixture
def proxied() -> Iterator[Cluster]:
    """A cluster whose processes reach its servers through proxies."""
    with running(proxied=True) as made:
        yield made


@pytest.fixture
def network() -> Iterator[Network]:
    """A network of the test's own. Ask for it before the cluster that is to run in it."""
    with own_network() as made:
        yield made


@pytest.fixture
def report() -> Report:
    """report(fault, oracle, seconds) adds one row to the table."""

    def add(fault: str, oracle: Oracle, seconds: float) -> None:
        lost = len(oracle.wrongs)  # errors that `compare` finds fail the test instead
        figures = (f"{oracle.longest_seconds:.2f}", f"{seconds:.1f}", str(oracle.unavailable))
        _rows.append((fault, str(len(oracle.posted)), *figures, str(lost)))

    return add


@pytest.fixture
def note() -> Note:
    """note(line) adds a line of figures to the summary."""
    return _notes.append


def pytest_terminal_summary() -> None:
    """Print the notes and the table."""
    table = Table(title="Cost of each fault")
    for column in ("fault", "tweets posted", "longest request, s", "delivered after, s"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    table.add_column("503 responses", justify="right")
    table.add_column("lost or wrong", justify="right")
    for row in _rows:
        table.add_row(*row)
    for line in _notes:
        print(line)
    if _rows:
        Console(width=110).print(table)
