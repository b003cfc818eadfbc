"""The two login forms: the admin's, and that of the browsable API."""

from typing import Any

import pytest
from django.contrib.auth.signals import user_login_failed
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from users.models import User

pytestmark = pytest.mark.django_db

LIMIT = 4
FORMS = pytest.mark.parametrize("path", ["/admin/login/", "/auth/session/login"])


@pytest.fixture(autouse=True)
def _limit(settings: Settings) -> None:
    settings.TWIT_LIMITS = {"posts": None, "requests": None, "logins": (LIMIT, 60)}


@pytest.fixture(autouse=True)
def _ben(ben: User) -> None:
    ben.set_password("right")
    ben.is_staff = True
    ben.save()


@pytest.fixture
def checked(request: pytest.FixtureRequest) -> list[str]:
    """The names whose passwords were compared, and were wrong."""
    names: list[str] = []

    def record(credentials: dict[str, Any], **kwargs: Any) -> None:
        names.append(credentials["username"])

    user_login_failed.connect(record)
    request.addfinalizer(lambda: user_login_failed.disconnect(record))
    return names


def attempt(path: str, password: str, name: str = "ben", address: str = "192.0.2.1") -> Any:
    form = {"username": name, "password": password}
    return Client().post(path, form, REMOTE_ADDR=address)


def says_too_many(response: Any) -> bool:
    return "Too many" in response.content.decode()


@FORMS
def test_wrong_passwords_are_not_even_compared_beyond_the_limit(
    path: str, checked: list[str]
) -> None:
    answers = [says_too_many(attempt(path, "wrong")) for _ in range(LIMIT + 2)]
    assert answers == [False] * LIMIT + [True] * 2
    assert len(checked) == LIMIT
    assert says_too_many(attempt(path, "right"))


@FORMS
def test_wrong_passwords_for_many_names_are_limited_by_address(
    path: str, checked: list[str]
) -> None:
    answers = [says_too_many(attempt(path, "wrong", f"user{n}")) for n in range(LIMIT + 2)]
    assert answers == [False] * LIMIT + [True] * 2
    assert len(checked) == LIMIT


@FORMS
def test_wrong_passwords_from_many_addresses_are_limited_by_account(
    path: str, checked: list[str]
) -> None:
    addresses = [f"192.0.2.{n}" for n in range(LIMIT + 2)]
    answers = [says_too_many(attempt(path, "wrong", address=address)) for address in addresses]
    assert answers == [False] * LIMIT + [True] * 2
    assert len(checked) == LIMIT
    assert not says_too_many(attempt(path, "wrong", "alyssa", "192.0.2.99"))


@FORMS
def test_a_form_and_the_api_share_the_limit(api: APIClient, path: str, checked: list[str]) -> None:
    for _ in range(LIMIT // 2):
        attempt(path, "wrong")
        body = {"username": "ben", "password": "wrong"}
        api.post("/auth/login", body, format="json", REMOTE_ADDR="192.0.2.1")
    assert says_too_many(attempt(path, "wrong"))
    assert len(checked) == LIMIT


@FORMS
def test_a_success_does_not_use_up_the_attempts_of_others(path: str) -> None:
    for _ in range(2):
        assert attempt(path, "right").status_code == 302
    assert not any(says_too_many(attempt(path, "wrong")) for _ in range(LIMIT))
