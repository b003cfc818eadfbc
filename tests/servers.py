"""A pytest plugin that starts a real Postgres and a real Valkey before Django loads.

Each process that runs tests has its own, so that no test notices those of another process.
TEST_DATABASE_URL and TEST_REDIS_URL select existing servers instead, for one process.
"""

import os
import shutil
import tempfile
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest

from twit.local import net, postgres, valkey
from twit.local.process import Child

EXISTING = {name: os.environ.get(f"TEST_{name}") for name in ("DATABASE_URL", "REDIS_URL")}

_servers: list[Child] = []
_base: Path | None = None


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None]:
    """Start the servers of this process: pytest's own, or a worker of xdist."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    number = 1 + int(worker.removeprefix("gw")) if worker else 0
    if number > 1 and any(EXISTING.values()):
        raise pytest.UsageError("TEST_DATABASE_URL and TEST_REDIS_URL are for one process: -n 1")
    processes = 1 + int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))
    net.PORTS = net.PORTS[number::processes]  # two never take the same one
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the tests start hundreds of processes
    _start()
    return (yield)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of workers for `-n auto`: more than cores, because tests also wait."""
    cores = os.cpu_count() or 1
    return 1 if any(EXISTING.values()) else (3 * cores + 1) // 2


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Stop the servers that this plugin started."""
    for server in reversed(_servers):
        server.stop()
    if _base:
        shutil.rmtree(_base)


def _start() -> None:
    global _base  # noqa: PLW0603 (a plugin's state lives as long as the process)
    _base = Path(tempfile.mkdtemp(prefix="twit-tests-"))
    _base.chmod(0o755)  # Postgres may have to run under another account
    variables = {"SECRET_KEY": "tests", "TWIT_OPEN_API": "on", "TWIT_HTTPS": "off", "DEBUG": "off"}
    # One server has all roles, and nothing serves metrics unless a test asks for them.
    variables |= dict.fromkeys(
        ("BROKER_URL", "LIMITS_URL", "TWIT_METRICS_WEB", "TWIT_METRICS_WORKER"), ""
    )
    # Django creates the test's database.
    start_postgres = partial(postgres.start, creates_databases=True)
    for name, start in (("DATABASE_URL", start_postgres), ("REDIS_URL", valkey.start)):
        url = EXISTING[name]
        if not url:
            home, log = _base / name, _base / f"{name}.log"
            child, url = start(home, password="tests", log=log, durable=False)
            _servers.append(child)
        variables[name] = url
    os.environ.update(variables)
