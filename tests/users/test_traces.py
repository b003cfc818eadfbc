"""What people may ask about later leaves a line in the log."""

import io
import re
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.test import Client
from knox.models import AuthToken
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings
from rest_framework.test import APIClient

from users.models import User
from users.tokens import issue

pytestmark = pytest.mark.django_db


@pytest.fixture
def bens(settings: Settings, ben: User) -> APIClient:
    """A client with a token of Ben, whose password is "old"."""
    settings.TWIT_OPEN_API = False
    settings.TWIT_SIGN_UP = True
    User.objects.filter(pk=ben.pk).update(password=make_password("old"))
    ben.refresh_from_db()
    return APIClient(headers={"authorization": f"Bearer {issue(ben, timedelta(days=1))[1]}"})


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records if entry.name == "twit.access"]


def test_a_token_that_is_revoked(
    bens: APIClient, ben: User, caplog: pytest.LogCaptureFixture
) -> None:
    [token] = bens.get("/me/tokens").json()
    bens.delete(f"/me/tokens/{token['id']}")
    assert said(caplog) == [f"Token {token['id']} of user {ben.pk} was revoked: by its user"]


def test_a_password_that_is_changed_or_guessed(
    bens: APIClient, ben: User, caplog: pytest.LogCaptureFixture
) -> None:
    new = "a-long-secret-7"
    for current in ("wrong", "old"):
        bens.put("/me/password", {"currentPassword": current, "newPassword": new})
    assert said(caplog) == [
        "Failed login as 'ben' from 127.0.0.1",
        f"User {ben.pk} changed their password, which revoked their other tokens",
    ]


@pytest.mark.parametrize("path", ["/admin/login/", "/auth/session/login"])
def test_a_failed_login_in_a_form(
    client: Client, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    client.post(path, {"username": "ben", "password": "wrong"})
    assert said(caplog) == ["Failed login as 'ben' from 127.0.0.1"]


def test_a_token_that_is_made_on_the_command_line(
    ben: User, caplog: pytest.LogCaptureFixture
) -> None:
    out = io.StringIO()
    call_command("create_token", "ben", stdout=out, stderr=io.StringIO())
    [line] = said(caplog)
    assert line.startswith(f"Token {out.getvalue()[:15]} of user {ben.pk} was created, until ")
    assert out.getvalue().strip() not in line


def test_tokens_in_the_admin(
    admin_client: Client,
    admin_user: User,
    ben: User,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        made = admin_client.post("/admin/knox/authtoken/add/", {"user": ben.pk}, follow=True)
        token = AuthToken.objects.get(user=ben)
        address = f"/admin/knox/authtoken/{token.pk}/delete/"
        admin_client.post(address, {"post": "yes"})
    added, deleted = said(caplog)
    by = f"User {admin_user.pk} in the admin:"
    assert added.startswith(f"{by} Added ") and deleted.startswith(f"{by} Deleted ")
    assert made.status_code == 200
    [secret] = re.findall(rf"\b{token.token_key}[0-9a-f]{{49}}\b", made.content.decode())
    assert secret not in caplog.text


def test_a_sign_up(bens: APIClient, caplog: pytest.LogCaptureFixture) -> None:
    account = {"username": "cy", "password": "a-long-secret-7"}
    created = bens.post("/users", account).json()
    assert said(caplog) == [f"User {created['id']} signed up as 'cy' from 127.0.0.1"]


def test_what_is_done_in_the_admin(
    admin_client: Client,
    admin_user: User,
    ben: User,
    alyssa: User,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    chosen = {"action": "delete_selected", "_selected_action": [ben.pk, alyssa.pk], "post": "yes"}
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post("/admin/users/follow/add/", {"follower": ben.pk, "followed": alyssa.pk})
        admin_client.post("/admin/users/user/", chosen)
    by = f"User {admin_user.pk} in the admin:"
    follow, *users = said(caplog)
    assert follow.startswith(f"{by} Added “{ben.pk} follows {alyssa.pk}”. (Users | follow ")
    assert sorted(users) == sorted(
        f"{by} Deleted “{user}.” (Users | user {user.pk})" for user in (ben, alyssa)
    )
    caplog.clear()
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.get("/admin/")  # shows the same entries
    assert not said(caplog)
