"""Tokens that were valid before, and are checked by the statement of the request itself."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from knox.models import AuthToken
from pytest_django import Settings
from rest_framework.test import APIClient

from backends.valkey import Unavailable
from tests.valkey import client as valkey
from timelines.lists import store
from tweets.models import Tweet
from users.models import User
from users.tokens import issue

pytestmark = pytest.mark.django_db


def revoke(ben: User) -> None:
    AuthToken.objects.all().delete()


def expire(ben: User) -> None:
    AuthToken.objects.update(expiry=Now() - timedelta(hours=1))


def deactivate(ben: User) -> None:
    User.objects.filter(pk=ben.pk).update(is_active=False)


def delete(ben: User) -> None:
    User.objects.filter(pk=ben.pk).delete()


ENDS = pytest.mark.parametrize("ends", [revoke, expire, deactivate, delete])


@pytest.fixture
def client(settings: Settings, ben: User) -> APIClient:
    """Ben's client, whose token has been valid already. His list is there."""
    settings.TWIT_OPEN_API = False
    client = APIClient(headers={"authorization": f"Bearer {issue(ben, timedelta(days=1))[1]}"})
    for _ in range(2):
        assert client.get(f"/tweets/followed/{ben.pk}").status_code == 200
    return client


def post(client: APIClient, **body: Any) -> int:
    return client.post("/tweets", {"message": "hi", **body}, format="json").status_code


@ENDS
@pytest.mark.parametrize("method", ["get", "head"])
def test_a_token_that_ended_reads_no_page(
    client: APIClient, ben: User, ends: Callable[[User], None], method: str
) -> None:
    ends(ben)
    refused = getattr(client, method)(f"/tweets/followed/{ben.pk}")
    assert refused.status_code == 401
    assert refused["WWW-Authenticate"].startswith("Bearer")
    assert "Link" not in refused


@ENDS
@pytest.mark.parametrize("key", [{}, {"idempotency-key": "one"}])
def test_a_token_that_ended_posts_nothing(
    client: APIClient, ben: User, ends: Callable[[User], None], key: dict[str, str]
) -> None:
    ends(ben)
    refused = client.post("/tweets", {"message": "hi"}, format="json", headers=key)
    assert (refused.status_code, Tweet.objects.count()) == (401, 0)


@ENDS
@pytest.mark.parametrize(
    ("path", "body"), [("/tweets", {"message": ""}), ("/tweets/followed/{}?limit=x", None)]
)
def test_a_token_that_ended_learns_of_no_other_problem(
    client: APIClient, ben: User, ends: Callable[[User], None], path: str, body: Any
) -> None:
    ends(ben)
    if body is None:
        assert client.get(path.format(ben.pk)).status_code == 401
    else:
        assert client.post(path, body, format="json").status_code == 401


@ENDS
def test_a_token_that_ended_reads_no_page_from_postgres(
    client: APIClient, ben: User, ends: Callable[[User], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise Unavailable

    monkeypatch.setattr(store, "begin_read", fail)
    assert client.get(f"/tweets/followed/{ben.pk}").status_code == 200
    ends(ben)
    assert client.get(f"/tweets/followed/{ben.pk}").status_code == 401


def test_a_replay_checks_the_token_too(client: APIClient, ben: User) -> None:
    key = {"idempotency-key": "one"}
    sent: Any = {"path": "/tweets", "data": {"message": "hi"}, "format": "json", "headers": key}
    assert [client.post(**sent).status_code for _ in range(2)] == [201, 201]
    revoke(ben)
    assert client.post(**sent).status_code == 401


def test_a_moderator_who_was_demoted_posts_for_nobody_else(
    client: APIClient, ben: User, alyssa: User
) -> None:
    User.objects.filter(pk=ben.pk).update(is_superuser=True)
    assert post(client, userId=alyssa.pk) == 201
    User.objects.filter(pk=ben.pk).update(is_superuser=False)
    assert post(client, userId=alyssa.pk) == 403
    assert post(client) == 201


def test_a_page_and_a_post_take_one_statement_each(
    client: APIClient, ben: User, statements: Callable[[], int], one_look: None
) -> None:
    statements()
    client.get(f"/tweets/followed/{ben.pk}")
    assert statements() == 1
    assert post(client) == 201
    assert statements() == 1


def test_a_page_beyond_the_limit_is_not_made_again_and_again(
    client: APIClient, ben: User, settings: Settings
) -> None:
    settings.TWIT_LIMITS = {"requests": (4, 600)}
    path = f"/tweets/followed/{ben.pk}"
    assert [client.get(path).status_code for _ in range(3)] == [200, 200, 429]
    counted = int(valkey().get(f"limit:requests:user:{ben.pk}"))  # type: ignore[arg-type]
    refused = client.get(path)
    assert (refused.status_code, refused["X-RateLimit-Remaining"]) == (429, "0")
    assert int(valkey().get(f"limit:requests:user:{ben.pk}")) == counted  # type: ignore[arg-type]
