"""Which tokens are good, without a server of its own."""

from datetime import timedelta

import pytest
from knox.models import AuthToken
from pytest_django import Settings
from rest_framework.test import APIClient

from users.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _asks_for_tokens(settings: Settings) -> None:
    settings.TWIT_OPEN_API = False


def status(api: APIClient, secret: str) -> int:
    return api.get("/tweets", headers={"authorization": f"Bearer {secret}"}).status_code


@pytest.mark.parametrize(
    ("lifetime", "expected"),
    [(None, 200), (timedelta(minutes=1), 200), (timedelta(seconds=-1), 401)],
)
def test_a_token_is_good_until_its_expiry_if_it_has_one(
    api: APIClient, ben: User, lifetime: timedelta | None, expected: int
) -> None:
    _, secret = AuthToken.objects.create(ben, expiry=lifetime)
    assert status(api, secret) == expected


def test_a_token_belongs_to_one_user(api: APIClient, ben: User, alyssa: User) -> None:
    secrets = [AuthToken.objects.create(user)[1] for user in (ben, alyssa)]
    for user, secret in zip((ben, alyssa), secrets, strict=True):
        headers = {"authorization": f"Bearer {secret}"}
        posted = api.post("/tweets", {"message": "hi"}, headers=headers)
        assert posted.json()["userId"] == str(user.pk)


@pytest.mark.parametrize("place", [0, 20, 63])
def test_a_token_is_compared_as_a_whole(api: APIClient, ben: User, place: int) -> None:
    _, secret = AuthToken.objects.create(ben)
    digit = "0" if secret[place] != "0" else "1"
    wrong = secret[:place] + digit + secret[place + 1 :]
    assert (status(api, secret), status(api, wrong)) == (200, 401)


def test_a_token_of_an_inactive_user_is_refused(api: APIClient, ben: User) -> None:
    _, secret = AuthToken.objects.create(ben)
    User.objects.filter(pk=ben.pk).update(is_active=False)
    assert status(api, secret) == 401
