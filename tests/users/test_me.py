"""The signed-in user and their tokens over the API."""

from datetime import timedelta
from typing import Any

import pytest
from knox.models import AuthToken
from pytest_django import Settings
from rest_framework.test import APIClient

from users.models import User
from users.tokens import issue

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture(autouse=True, params=["open", "tokens"])
def _mode(settings: Settings, request: pytest.FixtureRequest) -> None:
    """An open API knows who sent a token, too."""
    settings.TWIT_OPEN_API = request.param == "open"


def call(secret: str, method: str, path: str) -> Any:
    api = APIClient(headers={"authorization": f"Token {secret}"})
    return getattr(api, method)(path)


def test_me_is_the_user_of_the_token(ben: User, eva: User) -> None:
    for user in (ben, eva):
        shown = call(issue(user, DAY)[1], "get", "/me")
        assert shown.json() == APIClient().get(f"/users/{user.pk}").json()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/me"),
        ("put", "/me/password"),
        ("get", "/me/tokens"),
        ("delete", "/me/tokens/0123456789abcde"),
    ],
)
def test_without_a_token_there_is_no_me(api: APIClient, method: str, path: str) -> None:
    assert getattr(api, method)(path).status_code == 401
    assert call("0" * 64, method, path).status_code == 401


def test_valid_tokens_are_listed_newest_first_without_their_secrets(ben: User, eva: User) -> None:
    first, old_secret = issue(ben, DAY)
    issue(eva, DAY)
    issue(ben, -DAY)
    lasting, _ = AuthToken.objects.create(ben, expiry=None)
    current, secret = issue(ben, 2 * DAY)
    answer = call(secret, "get", "/me/tokens")
    listed = answer.json()
    keys = [token.token_key for token in (current, lasting, first)]
    assert [token["id"] for token in listed] == keys
    assert [token["isCurrent"] for token in listed] == [True, False, False]
    assert listed[1]["expiresAt"] is None
    assert listed[0]["expiresAt"] == current.expiry.isoformat().replace("+00:00", "Z")
    assert listed[0]["createdAt"] == current.created.isoformat().replace("+00:00", "Z")
    assert set(listed[0]) == {"id", "createdAt", "expiresAt", "isCurrent"}
    assert not any(text[15:] in answer.content.decode() for text in (secret, old_secret))


def test_a_deleted_token_is_revoked_and_a_repetition_is_a_404(ben: User) -> None:
    _, mine = issue(ben, DAY)
    other, lost = issue(ben, DAY)
    path = f"/me/tokens/{other.token_key}"
    assert [call(mine, "delete", path).status_code for _ in range(2)] == [204, 404]
    assert call(mine, "delete", path).json()["detail"] == f"There is no token {other.token_key}."
    assert call(lost, "get", "/me").status_code == 401
    assert call(mine, "get", "/me").status_code == 200


def test_the_token_in_use_may_be_deleted(ben: User) -> None:
    token, mine = issue(ben, DAY)
    path = f"/me/tokens/{token.token_key}"
    assert [call(mine, "delete", path).status_code for _ in range(2)] == [204, 401]


def test_a_token_of_another_user_is_a_404(ben: User, eva: User) -> None:
    token, hers = issue(eva, DAY)
    _, mine = issue(ben, DAY)
    assert call(mine, "delete", f"/me/tokens/{token.token_key}").status_code == 404
    assert call(hers, "get", "/me").status_code == 200


@pytest.mark.parametrize("token_id", ["%00", "0" * 14, "0" * 16, "G" * 15, "\u0661" * 15])
def test_what_is_no_tokens_id_is_a_404(ben: User, token_id: str) -> None:
    assert call(issue(ben, DAY)[1], "delete", f"/me/tokens/{token_id}").status_code == 404
