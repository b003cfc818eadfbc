"""The probes `/livez` and `/readyz`."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import pytest
from amqp import AccessRefused
from django.db import connection
from django.test import Client, override_settings
from kombu import Connection

from tests.stack import Stack
from tests.twit.test_dead_servers import dead_queue, dead_rabbit
from timelines.delivery import admitting
from timelines.health import Migrations
from timelines.models import Sighting
from tweets.models import Tweet
from twit.local.net import LOOPBACK, free_port
from users.models import User

pytestmark = pytest.mark.django_db


def lines(path: str = "/readyz", expected: int = 200, **headers: str) -> dict[str, Any]:
    """Return the report, with the checks by name."""
    answer = Client().get(path, headers=headers)
    assert answer.status_code == expected, answer.content
    assert answer.headers["Cache-Control"] == "no-store"
    report: dict[str, Any] = answer.json()
    found = {check["name"]: (check["status"], check["detail"]) for check in report["checks"]}
    return {"status": report["status"], **found}


def test_a_process_that_serves_says_so() -> None:
    assert lines("/livez") == {"status": "ok"}


def test_a_service_that_lacks_nothing_is_ready() -> None:
    admitting.sweep()
    assert lines()["status"] == "ok"


@override_settings(SECURE_SSL_REDIRECT=True)
def test_probes_need_no_tls_and_no_name() -> None:
    assert lines("/livez", host="10.1.2.3")["status"] == "ok"
    assert Client().get("/tweets").status_code == 301


@override_settings(TWIT_OPEN_API=False, TWIT_LIMITS={"requests": (1, 60)})
def test_probes_need_no_token_and_count_against_no_limit() -> None:
    for _ in range(3):
        lines()


def test_without_workers_the_service_is_degraded() -> None:
    Sighting.objects.all().delete()
    report = lines()
    assert report["status"] == "degraded"
    assert report["sweep"] == ("degraded", "There was none: does a worker run?")


def test_a_fan_out_that_waits_for_long_degrades_the_service(ben: User) -> None:
    Tweet.objects.create(author=ben, message="hello")
    assert lines()["pending"][0] == "ok"
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE timelines_fanout SET created_at = clock_timestamp() - interval '2 minutes'"
        )
    status, detail = lines()["pending"]
    assert status == "degraded"
    assert re.fullmatch(r"The oldest fan-out has been pending for 1[23]\d s\.", detail)
    with override_settings(TWIT_PENDING_SECONDS=200):
        assert lines()["pending"][0] == "ok"


def test_a_missing_migration_fails_readiness() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE app = 'timelines' AND name LIKE '0006%'"
        )
    with pytest.raises(Exception, match=r"1 are missing, the first is timelines\.0006"):
        Migrations()()


def test_a_dead_redis_degrades_the_service() -> None:
    dead = f"redis://127.0.0.1:{free_port()}/0"
    with override_settings(REDIS_URL=dead):
        report = lines()
    assert report["status"] == report["valkey"][0] == "degraded"


@pytest.mark.parametrize("dead", [dead_queue, dead_rabbit])
def test_a_dead_broker_degrades_the_service(
    dead: Callable[[], AbstractContextManager[object]],
) -> None:
    with dead():
        status, detail = lines()["broker"]
    assert status == "degraded"
    assert detail.startswith("It does not answer (")


def test_a_broker_that_refuses_the_password_degrades_the_service() -> None:
    refused = patch.object(Connection, "ensure_connection", side_effect=AccessRefused("a password"))
    with refused:
        assert lines()["broker"][0] == "degraded"


def test_without_postgres_a_process_is_alive_but_not_ready(stack: Stack) -> None:
    dead = f"postgresql://twit:twit@{LOOPBACK}:{free_port()}/twit"
    web = stack.start_web(probe="/livez", DATABASE_URL=dead)
    answer = web.get("/readyz")
    assert answer.status_code == 503
    first, second, *_ = answer.json()["checks"]
    assert (first["name"], first["status"]) == ("postgres", "failed")
    assert second["detail"] == "Not checked, because of postgres."
