"""An idempotency key belongs to the user who sends it, not to the author of the tweet."""

from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from tweets.models import Tweet
from users.models import User

pytestmark = pytest.mark.django_db

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


@pytest.fixture
def staff(db: None, settings: Settings) -> User:
    """Somebody who may post for everybody on a server that asks for tokens."""
    settings.TWIT_OPEN_API = False
    return User.objects.create_superuser("staff")


def post(sender: User, author: User, message: str) -> Any:
    api = APIClient()
    api.force_authenticate(sender)
    body = {"userId": author.pk, "message": message}
    return api.post("/tweets", body, headers={"idempotency-key": KEY})


@pytest.mark.parametrize("message", ["another", "the same"])
def test_the_key_of_staff_leaves_the_authors_own_free(staff: User, ben: User, message: str) -> None:
    first = post(staff, ben, "the same")
    second = post(ben, ben, message)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    assert Tweet.objects.count() == 2


def test_each_sender_gets_the_response_to_their_own_request_again(
    staff: User, ben: User, alyssa: User
) -> None:
    requests = [(staff, ben, "one"), (ben, ben, "two"), (alyssa, alyssa, "three")]
    first = [post(*request).json() for request in requests]
    assert [post(*request).json() for request in requests] == first
    assert [tweet["message"] for tweet in first] == ["one", "two", "three"]
    assert Tweet.objects.count() == 3


def test_a_retry_whose_author_has_been_deleted_gets_a_410(staff: User, ben: User) -> None:
    assert post(staff, ben, "hello").status_code == 201
    author = User(pk=ben.pk)
    ben.delete()
    assert post(staff, author, "hello").status_code == 410


def test_the_same_message_for_another_author_is_another_request(
    staff: User, ben: User, alyssa: User
) -> None:
    assert post(staff, ben, "hello").status_code == 201
    assert post(staff, alyssa, "hello").status_code == 422
    assert Tweet.objects.get().author == ben
