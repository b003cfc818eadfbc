"""How many tokens a user has, and what revokes them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from django.contrib.auth.hashers import make_password
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.psql import psql, sessions_that_wait_for_a_lock
from tests.stack import Stack, wait_until
from users.models import User
from users.tokens import MAX_TOKENS, issue

DAY = timedelta(days=1)


@pytest.fixture
def account(settings: Settings, ben: User) -> User:
    """Ben, with a password, where tokens are required and nothing is limited."""
    settings.TWIT_OPEN_API = False
    settings.TWIT_LIMITS = {"posts": None, "requests": None, "logins": None}
    ben.set_password("old")
    ben.save()
    return ben


def login(username: str, password: str) -> tuple[int, str]:
    """Sign in. Return the status code and the token."""
    credentials = {"username": username, "password": password}
    response = APIClient().post("/auth/login", credentials, format="json")
    return response.status_code, response.json().get("token", "")


def is_valid(token: str) -> bool:
    response = APIClient().get("/tweets", headers={"authorization": f"Bearer {token}"})
    assert response.status_code in (200, 401)
    return response.status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("scheme", "status"), [("Bearer", 204), ("bearer", 204), ("Token", 204), ("Basic", 401)]
)
def test_a_token_is_sent_as_a_bearer_token_or_in_the_older_scheme(
    account: User, scheme: str, status: int
) -> None:
    credentials = {"authorization": f"{scheme} {issue(account, DAY)[1]}"}
    assert APIClient().post("/auth/logout", headers=credentials).status_code == status


@pytest.mark.django_db
def test_a_login_beyond_the_most_tokens_revokes_the_users_one_that_expires_first(
    account: User, eva: User
) -> None:
    _, hers = issue(eva, DAY)
    _, long = issue(account, 1000 * DAY)
    _, first = issue(account, 20 * DAY)
    _, second = issue(account, 21 * DAY)
    others = [issue(account, 22 * DAY)[1] for _ in range(MAX_TOKENS - 3)]
    assert is_valid(first)
    _, newest = login("ben", "old")
    assert not is_valid(first)
    assert all(map(is_valid, (hers, long, second, newest, *others)))
    assert AuthToken.objects.filter(user=account).count() == MAX_TOKENS


@pytest.mark.django_db
def test_expired_tokens_are_the_first_to_make_room(account: User) -> None:
    _, mine = issue(account, DAY)
    for _ in range(MAX_TOKENS - 1):
        issue(account, -DAY)
    login("ben", "old")
    assert is_valid(mine)


def by_the_orm(user: User, superuser: Client) -> None:
    user.set_password("new")
    user.save()


def by_an_update(user: User, superuser: Client) -> None:
    User.objects.filter(pk=user.pk).update(password=make_password("new"))


def by_sql(user: User, superuser: Client) -> None:
    psql(f"UPDATE users_user SET password = '{make_password('new')}' WHERE id = {user.pk}")


def by_the_admin(user: User, superuser: Client) -> None:
    address = reverse("admin:auth_user_password_change", args=[user.pk])
    new = {"password1": "brand-new-9", "password2": "brand-new-9", "usable_password": "true"}
    assert superuser.post(address, new).status_code == 302


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", [by_the_orm, by_an_update, by_sql, by_the_admin])
def test_a_changed_password_revokes_all_tokens_of_its_user(
    account: User, eva: User, admin_client: Client, change: Callable[[User, Client], None]
) -> None:
    _, hers = issue(eva, DAY)
    mine = [issue(account, DAY)[1], login("ben", "old")[1]]
    assert all(map(is_valid, mine))
    change(account, admin_client)
    assert not any(map(is_valid, mine))
    assert is_valid(hers)


@pytest.mark.django_db
def test_other_changes_of_a_user_revoke_nothing(account: User) -> None:
    _, token = issue(account, DAY)
    account.first_name = "Ben"
    account.save()
    assert is_valid(token)


@pytest.mark.django_db
def test_a_login_that_rehashes_the_password_returns_a_valid_token(account: User) -> None:
    weaker = make_password("old", hasher="pbkdf2_sha256")
    User.objects.filter(pk=account.pk).update(password=weaker)
    status, token = login("ben", "old")
    account.refresh_from_db()
    assert (status, account.password.startswith("argon2")) == (200, True)
    assert is_valid(token)


@pytest.mark.usefixtures("costly_passwords")
def test_a_login_with_the_old_password_does_not_slip_in_behind_a_change(
    stack: Stack, account: User
) -> None:
    """Neither if it is hashed as today nor if the login would renew its hash."""
    web = stack.start_web(TWIT_OPEN_API="off")
    credentials = {"username": "ben", "password": "old"}
    for hasher in ("argon2", "pbkdf2_sha256"):
        User.objects.update(password=make_password("old", hasher=hasher))
        with psycopg.connect(stack.env["DATABASE_URL"]) as other, ThreadPoolExecutor() as pool:
            other.execute("UPDATE users_user SET password = 'new' WHERE id = %s", [account.pk])
            answer = pool.submit(web.post, "/auth/login", json=credentials)
            wait_until(sessions_that_wait_for_a_lock)
            other.commit()
        assert answer.result().status_code == 401
        assert User.objects.get(pk=account.pk).password == "new"
        assert not AuthToken.objects.exists()
