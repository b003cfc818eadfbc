"""Fixtures: the cast, clean servers for each test, and counters of queries and round trips."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection
from rest_framework.test import APIClient

from api import limits
from backends.nodes import nodes_at
from backends.servers import Server, server_at
from backends.valkey import Connection
from tests.factories import FollowFactory, UserFactory
from tests.site import Site
from tests.stack import Stack
from tests.timelines.lists import admit
from tests.valkey import client
from timelines.delivery import tasks
from timelines.lists import store
from timelines.reading.low_water import low_water
from tweets.settled import settled
from users import authentication
from users.models import Follow, User

logging.getLogger("httpx").setLevel(logging.WARNING)  # silences a line per request
hypothesis.settings.register_profile("twit", deadline=None)  # examples take long on a busy machine
hypothesis.settings.load_profile("twit")


@pytest.fixture(autouse=True)
def _fresh_valkey(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty the test's Valkey database, and what the process remembers of it."""
    server_at.cache_clear()
    nodes_at.cache_clear()
    settled.cache_clear()
    low_water.cache_clear()
    monkeypatch.setattr(authentication, "invalid_tokens", authentication.InvalidTokens())
    monkeypatch.setattr(limits, "refused", limits.Refused())
    # Servers of a busy machine may be slow. Tests of dead ones set their own patience.
    monkeypatch.setattr(Server, "patience_seconds", 5.0)
    monkeypatch.setattr(tasks, "REQUEST_SECONDS", 30.0)  # to load kombu and to connect
    client().flushdb()


@pytest.fixture(autouse=True)
def _admitted(request: pytest.FixtureRequest, _fresh_valkey: None) -> None:
    """Admit the server, as a worker does, if the test uses the database."""
    if request.node.get_closest_marker("django_db") or {"db", "transactional_db"} & set(
        request.fixturenames
    ):
        request.getfixturevalue("db")
        admit()


@pytest.fixture(autouse=True)
def _cheap_passwords(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a password take a millisecond, unless the test asks for `costly_passwords`."""
    if "costly_passwords" not in request.fixturenames:
        monkeypatch.setattr(Argon2PasswordHasher, "memory_cost", 1024)


@pytest.fixture
def costly_passwords() -> None:
    """Hash passwords as users' passwords are hashed."""


@pytest.fixture
def list_size(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """list_size(cap=10, spacing=5) trims lists to 10 elements and sets a mark every 5."""

    def resize(*, cap: int = store.CAP, spacing: int = store.MARK_SPACING) -> None:
        monkeypatch.setattr(store, "CAP", cap)
        monkeypatch.setattr(store, "MARK_SPACING", spacing)

    return resize


def _count(monkeypatch: pytest.MonkeyPatch, owner: type, method: str) -> Callable[[], int]:
    """Count calls of the method. The returned function gives the count since its previous call."""
    calls = 0
    original: Any = getattr(owner, method)

    def counting(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        return original(*args, **kwargs)

    def since() -> int:
        nonlocal calls
        count, calls = calls, 0
        return count

    monkeypatch.setattr(owner, method, counting)
    return since


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """statements() returns how many were sent to Postgres, by any cursor, since its last call."""
    return _count(monkeypatch, psycopg.Cursor, "execute")


@pytest.fixture
def one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process look for what is pending once, instead of ten times a second."""
    for module in ("tweets.settled", "timelines.reading.low_water"):
        monkeypatch.setattr(f"{module}.REFRESH_SECONDS", 60.0)


@pytest.fixture
def redis_round_trips(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """redis_round_trips() returns how many buffers were sent to Valkey since its last call."""
    return _count(monkeypatch, Connection, "send")


@pytest.fixture
def api() -> APIClient:
    return APIClient()


@pytest.fixture
def ben(db: None) -> User:
    return UserFactory.create(username="ben")


@pytest.fixture
def alyssa(db: None) -> User:
    return UserFactory.create(username="alyssa")


@pytest.fixture
def louis(db: None) -> User:
    return UserFactory.create(username="louis")


@pytest.fixture
def eva(db: None) -> User:
    return UserFactory.create(username="eva")


@pytest.fixture
def cy(db: None) -> User:
    return UserFactory.create(username="cy")


@pytest.fixture
def follow() -> Callable[[User, User], Follow]:
    """follow(ben, alyssa) makes ben follow alyssa."""
    return lambda follower, followed: FollowFactory.create(follower=follower, followed=followed)


@pytest.fixture(scope="session")
def site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that requires tokens, with its own database and the demo's users."""
    server, _, name = os.environ["DATABASE_URL"].rpartition("/")
    database = f"{connection.settings_dict['NAME']}_site"
    with psycopg.connect(f"{server}/{name}", autocommit=True) as administrator:
        administrator.execute(f"CREATE DATABASE {database}")
        running = Site(tmp_path_factory.mktemp("site"), f"{server}/{database}", settings.REDIS_URL)
        yield running
        running.stop()
        administrator.execute(f"DROP DATABASE {database} WITH (FORCE)")


def _stack(folder: Path) -> Stack:
    server = os.environ["DATABASE_URL"].rpartition("/")[0]
    database = connection.settings_dict["NAME"]
    return Stack(folder, f"{server}/{database}", settings.REDIS_URL)


@pytest.fixture
def stack(transactional_db: None, tmp_path: Path) -> Iterator[Stack]:
    """Real processes that use this test's database."""
    running = _stack(tmp_path)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def web_stack(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An open web server that uses the tests' database, for all tests of a module."""
    running = _stack(tmp_path_factory.mktemp("web"))
    running.start_web()
    yield running
    running.stop()
