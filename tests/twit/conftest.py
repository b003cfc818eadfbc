"""Fixtures for tests that run `make up`, and for tests in a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import DESKTOP, Browser
from tests.up import copied_checkout


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A copy of the project's files, in a folder that any account can enter."""
    with copied_checkout() as folder:
        yield folder


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    running = Browser(tmp_path_factory.mktemp("browser"))
    yield running
    running.stop()


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    """The window, which remembers nothing. Ask for the server first: it stops last."""
    window.forget()
    window.size(*DESKTOP)
    yield window
    window.open("about:blank")  # ends the page's stream
