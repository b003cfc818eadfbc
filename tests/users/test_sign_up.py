"""Signing up over the API."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connections
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.psql import connect, sessions_that_wait_for_a_lock
from tests.stack import wait_until
from users import logins
from users.models import User

SECRET = "a-long-secret-7"


@pytest.fixture(autouse=True)
def _on(settings: Settings) -> None:
    settings.TWIT_SIGN_UP = True
    settings.TWIT_LIMITS = {"sign_ups": None, "logins": None}


def sign_up(username: object, password: object = SECRET, **extra: Any) -> Any:
    api = APIClient(raise_request_exception=False)
    body = json.dumps({"username": username, "password": password})
    return api.generic("POST", "/users", body, "application/json", **extra)


@pytest.mark.django_db
def test_a_new_user_is_returned_and_can_log_in(api: APIClient) -> None:
    created = sign_up("eva")
    assert created.status_code == 201
    assert created["Location"] == f"http://testserver/users/{created.json()['id']}"
    assert api.get(created["Location"]).json() == created.json()
    assert created.json()["username"] == "eva"
    credentials = {"username": "eva", "password": SECRET}
    assert api.post("/auth/login", credentials).json()["userId"] == created.json()["id"]
    user = User.objects.get()
    assert (user.is_staff, user.is_superuser, user.password.split("$")[0]) == (
        False,
        False,
        "argon2",
    )


@pytest.mark.django_db
@pytest.mark.parametrize("is_open", [True, False])
def test_nobody_can_sign_up_unless_the_server_allows_it(settings: Settings, is_open: bool) -> None:
    settings.TWIT_OPEN_API = is_open
    assert sign_up("eva").status_code == 201
    settings.TWIT_SIGN_UP = False
    refused = sign_up("cy")
    assert refused.status_code == 403
    assert refused.json()["detail"] == "Nobody can sign up here: TWIT_SIGN_UP is off."
    assert not User.objects.filter(username="cy").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["\uff45va", " eva\n", "eva"])
def test_a_name_is_stored_in_its_normal_form(name: str) -> None:
    created = sign_up(name)
    assert (created.status_code, created.json()["username"]) == (201, "eva")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a\0b",
        "\ud800",
        "x" * 151,
        "\ufdfa" * 9,
        "\ufe70",
        "a/b",
        "e\u200bva",
        None,
        7,
        ["a"],
    ],
)
def test_an_invalid_name_is_to_blame(name: object) -> None:
    refused = sign_up(name)
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("username: ")
    assert not User.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "password",
    [
        *("", "short", "12345678901", "password", "evangeline", "x" * 1001),
        *("a\0" * 9, "\ud800" * 9, None, 1234567890123),
    ],
)
def test_an_invalid_password_is_to_blame(password: object) -> None:
    refused = sign_up("evangeline", password)
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("password: ")
    assert not User.objects.exists()


@pytest.mark.django_db
def test_name_and_password_are_blamed_together(api: APIClient) -> None:
    refused = sign_up("a b", "12345678901").json()["detail"]
    assert "username: Enter a valid username." in refused
    assert "password: This password is entirely numeric." in refused
    missing = api.post("/users", {}, format="json").json()["detail"]
    assert missing.count("This field is required.") == 2


TAKEN = "username: A user with that username already exists."


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["ben", "\uff42en"])
def test_a_taken_name_is_to_blame_before_anything_is_hashed(ben: User, name: str) -> None:
    with logins.turn():
        refused = sign_up(name)
    assert (refused.status_code, refused.json()["detail"]) == (400, TAKEN)


def in_thread(name: str) -> Any:
    try:
        return sign_up(name)
    finally:
        connections.close_all()


INSERT = """
    INSERT INTO users_user (username, password, first_name, last_name, email,
                            is_superuser, is_staff, is_active, date_joined)
    VALUES ('eva', '!', '', '', '', false, false, true, now())
"""


@pytest.mark.django_db(transaction=True)
def test_a_name_that_is_taken_at_the_same_moment_is_to_blame() -> None:
    with connect() as other, ThreadPoolExecutor(1) as threads:
        other.execute(INSERT)
        sent = threads.submit(in_thread, "eva")
        wait_until(sessions_that_wait_for_a_lock)
        other.commit()
        refused = sent.result()
    assert (refused.status_code, refused.json()["detail"]) == (400, TAKEN)


@pytest.mark.django_db(transaction=True)
def test_of_sign_ups_at_once_for_a_name_one_succeeds() -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = [one.result() for one in [threads.submit(in_thread, "eva") for _ in range(4)]]
    codes = sorted(answer.status_code for answer in answers)
    assert codes[0] == 201
    assert set(codes[1:]) <= {400, 503}  # 503: passwords are hashed one at a time
    assert User.objects.get().username == "eva"


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_a_password_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[psycopg.pq.TransactionStatus] = []

    def make_password(password: str) -> str:
        states.append(connections["default"].connection.info.transaction_status)
        return "!"

    monkeypatch.setattr("users.accounts.make_password", make_password)
    assert sign_up("eva").status_code == 201
    assert states == [psycopg.pq.TransactionStatus.IDLE]


@pytest.mark.django_db
def test_sign_ups_wait_in_the_line_of_logins() -> None:
    with logins.turn():
        busy = sign_up("eva")
    assert (busy.status_code, busy["Retry-After"]) == (503, "1")
    assert not User.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("is_open", [True, False])
def test_sign_ups_are_limited_by_address_whoever_is_signed_in(
    settings: Settings, ben: User, alyssa: User, is_open: bool
) -> None:
    settings.TWIT_OPEN_API = is_open
    settings.TWIT_LIMITS = {}
    for number in range(12):
        api = APIClient()
        api.force_authenticate([None, ben, alyssa][number % 3])
        answer: Any = api.post("/users", {}, format="json", REMOTE_ADDR="192.0.2.1")
        assert answer.status_code == (400 if number < 10 else 429)
        assert answer["X-RateLimit-Limit"] == "10"
    assert 3500 < int(answer["Retry-After"]) <= 3600
    assert api.post("/users", {}, format="json", REMOTE_ADDR="192.0.2.2").status_code == 400
    assert api.get("/users", REMOTE_ADDR="192.0.2.1").status_code == 200
