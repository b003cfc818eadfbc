"""Changing one's own password over the API."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import Client
from knox.models import AuthToken
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.psql import psql
from users import accounts, logins
from users.models import User
from users.tokens import issue

DAY = timedelta(days=1)
NEW = "a-long-secret-7"
WRONG = "currentPassword: This is not your password."
pytestmark = pytest.mark.django_db


@pytest.fixture
def account(settings: Settings, ben: User) -> User:
    settings.TWIT_OPEN_API = False
    settings.TWIT_LIMITS = {"posts": None, "requests": None, "logins": None}
    User.objects.filter(pk=ben.pk).update(password=make_password("old"))
    ben.refresh_from_db()
    return ben


def change(secret: str, current: object = "old", new: object = NEW, address: str = "") -> Any:
    api = APIClient(raise_request_exception=False)
    body = json.dumps({"currentPassword": current, "newPassword": new})
    headers = {"authorization": f"Token {secret}"}
    extra: dict[str, Any] = {"REMOTE_ADDR": address or "192.0.2.1"}
    return api.generic("PUT", "/me/password", body, "application/json", headers=headers, **extra)


def is_valid(secret: str) -> bool:
    headers = {"authorization": f"Token {secret}"}
    return bool(APIClient().get("/me", headers=headers).status_code == 200)


@pytest.mark.django_db(transaction=True)
def test_a_change_revokes_all_tokens_but_the_one_in_use(account: User, eva: User) -> None:
    (_, mine), (_, other), (_, hers) = issue(account, DAY), issue(account, DAY), issue(eva, DAY)
    changed = change(mine)
    assert (changed.status_code, changed.content) == (204, b"")
    assert [is_valid(secret) for secret in (mine, other, hers)] == [True, False, True]
    account.refresh_from_db()
    assert account.check_password(NEW)


@pytest.mark.django_db(transaction=True)
def test_a_later_change_in_another_way_revokes_that_token_too(account: User) -> None:
    _, mine = issue(account, DAY)
    assert change(mine).status_code == 204
    User.objects.filter(pk=account.pk).update(password="other")  # on the same connection
    assert not is_valid(mine)


@pytest.mark.django_db(transaction=True)
def test_a_token_that_is_revoked_meanwhile_is_not_restored(
    account: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, mine = issue(account, DAY)

    def slow(password: str) -> str:
        AuthToken.objects.all().delete()  # its owner signs out everywhere
        return make_password(password)

    monkeypatch.setattr(accounts, "make_password", slow)
    assert change(mine).status_code == 204
    assert not is_valid(mine)


@pytest.mark.django_db(transaction=True)
def test_of_two_changes_at_once_the_second_does_not_overwrite_the_first(
    account: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, mine = issue(account, DAY)

    def slow(password: str) -> str:
        psql(f"UPDATE users_user SET password = 'first' WHERE id = {account.pk}")
        return make_password(password)

    monkeypatch.setattr(accounts, "make_password", slow)
    refused = change(mine)
    assert (refused.status_code, refused.json()["detail"]) == (400, WRONG)
    account.refresh_from_db()
    assert account.password == "first"


def test_a_wrong_current_password_is_to_blame_and_changes_nothing(account: User) -> None:
    _, mine = issue(account, DAY)
    for current in ("wrong", NEW, "Old"):
        refused = change(mine, current)
        assert (refused.status_code, refused.json()["detail"]) == (400, WRONG)
    account.refresh_from_db()
    assert account.check_password("old")
    assert is_valid(mine)


@pytest.mark.parametrize("name", ["currentPassword", "newPassword"])
@pytest.mark.parametrize("value", ["", "a\0" * 9, "\ud800" * 9, "x" * 1001, None, 1234567890123])
def test_an_invalid_value_is_named(account: User, name: str, value: object) -> None:
    values: dict[str, Any] = {name.removesuffix("Password"): value}
    refused = change(issue(account, DAY)[1], **values)
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith(f"{name}: ")


@pytest.mark.parametrize("new", ["short", "12345678901", "password", "ben-ben-"])
def test_a_weak_new_password_is_to_blame_and_counts_as_no_login(account: User, new: str) -> None:
    User.objects.filter(pk=account.pk).update(username="ben-ben-ben")
    with logins.turn():
        refused = change(issue(account, DAY)[1], new=new)
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("newPassword: ")


def login(address: str) -> int:
    credentials = {"username": "ben", "password": "old"}
    extra: dict[str, Any] = {"REMOTE_ADDR": address}
    return APIClient().post("/auth/login", credentials, format="json", **extra).status_code


def test_wrong_current_passwords_are_failed_logins_of_the_address(
    account: User, settings: Settings
) -> None:
    settings.TWIT_LIMITS = {"logins": (3, 60), "requests": None}
    _, mine = issue(account, DAY)
    assert [change(mine, "wrong").status_code for _ in range(5)] == [400] * 3 + [429] * 2
    assert change(mine).status_code == 429
    assert login("192.0.2.1") == 429


def test_wrong_current_passwords_are_failed_logins_of_the_account(
    account: User, settings: Settings
) -> None:
    settings.TWIT_LIMITS = {"logins": (3, 60), "requests": None}
    _, mine = issue(account, DAY)
    guesses = [change(mine, "wrong", address=f"192.0.2.{n}").status_code for n in range(5)]
    assert guesses == [400] * 3 + [429] * 2
    assert change(mine, address="192.0.2.9").status_code == 429
    assert login("192.0.2.9") == 429


def test_a_change_does_not_count_as_a_failure(account: User, settings: Settings) -> None:
    settings.TWIT_LIMITS = {"logins": (3, 60), "requests": None}
    _, mine = issue(account, DAY)
    assert [change(mine).status_code, change(mine, NEW, "old-old-9").status_code] == [204, 204]
    guesses = [change(mine, "wrong").status_code for _ in range(4)]
    assert guesses == [400] * 3 + [429]


def test_a_password_of_an_older_hasher_does_not_revoke_the_token_in_use(account: User) -> None:
    weaker = make_password("old", hasher="pbkdf2_sha256")
    User.objects.filter(pk=account.pk).update(password=weaker)
    _, mine = issue(User.objects.get(pk=account.pk), DAY)
    assert change(mine, new="short").status_code == 400
    assert change(mine, current="wrong").status_code == 400
    assert change(mine).status_code == 204
    assert is_valid(mine)


def test_a_user_without_a_password_has_no_current_one(account: User) -> None:
    User.objects.filter(pk=account.pk).update(password=make_password(None))
    _, mine = issue(User.objects.get(pk=account.pk), DAY)
    for current in ("old", "!"):
        assert change(mine, current).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_passwords_are_hashed(
    account: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, mine = issue(account, DAY)
    states: list[psycopg.pq.TransactionStatus] = []

    def watched(hashes: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            states.append(connections["default"].connection.info.transaction_status)
            return hashes(*args)

        return run

    monkeypatch.setattr(accounts, "make_password", watched(make_password))
    monkeypatch.setattr(logins, "check_password", watched(check_password))
    assert change(mine).status_code == 204
    assert states == [psycopg.pq.TransactionStatus.IDLE] * 2


def test_a_browsers_session_survives_its_change_and_others_end(account: User) -> None:
    browsers = [Client(), Client()]
    for browser in browsers:
        browser.force_login(account)
    _, token = issue(account, DAY)
    body = {"currentPassword": "old", "newPassword": NEW}
    changed = browsers[0].put("/me/password", body, content_type="application/json")
    assert changed.status_code == 204
    assert [browser.get("/me").status_code for browser in browsers] == [200, 401]
    assert not is_valid(token)


def test_a_change_by_token_starts_no_session(account: User) -> None:
    changed = change(issue(account, DAY)[1])
    assert changed.status_code == 204
    assert not changed.cookies
    assert not Session.objects.exists()


def test_a_session_needs_a_csrf_token(account: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(account)
    body = {"currentPassword": "old", "newPassword": NEW}
    assert browser.put("/me/password", body, content_type="application/json").status_code == 403
