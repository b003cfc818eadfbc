"""Fixtures for tests that run `make up`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.up import copied_checkout


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A copy of the project's files, in a folder that any account can enter."""
    with copied_checkout() as folder:
        yield folder
