"""Posts whose author or sender is deleted at that moment, over two connections."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.psql import connect, sessions_that_wait_for_a_lock
from tests.stack import wait_until
from tweets.models import IdempotencyKey, Tweet
from users.models import User

pytestmark = pytest.mark.django_db(transaction=True)


def post(author: User, sender: User | None, key: str) -> Any:
    """Post in a thread, which has a database connection of its own."""
    api = APIClient(raise_request_exception=False)
    api.force_authenticate(sender)
    headers = {"idempotency-key": key} if key else {}
    try:
        return api.post("/tweets", {"userId": author.pk, "message": "hi"}, headers=headers)
    finally:
        connections.close_all()


def post_while_deleting(gone: User, author: User, sender: User | None, key: str) -> Any:
    with connect() as deletion, ThreadPoolExecutor(1) as threads:
        deletion.execute("DELETE FROM users_user WHERE id = %s", [gone.pk])
        posted = threads.submit(post, author, sender, key)
        wait_until(sessions_that_wait_for_a_lock)
        deletion.commit()
        return posted.result()


@pytest.mark.parametrize("key", ["", "once"])
def test_a_post_by_an_author_who_is_being_deleted_gets_a_400(ben: User, key: str) -> None:
    answer = post_while_deleting(ben, author=ben, sender=None, key=key)
    assert answer.status_code == 400
    assert answer.json()["detail"] == f"userId: There is no user {ben.pk}."
    assert not Tweet.objects.exists()


def test_a_post_for_somebody_by_a_sender_who_is_being_deleted_stores_nothing(
    ben: User, settings: Settings
) -> None:
    settings.TWIT_OPEN_API = False
    staff = User.objects.create_superuser("staff")
    answer = post_while_deleting(staff, author=ben, sender=staff, key="once")
    assert answer.status_code == 400
    assert not Tweet.objects.exists()
    assert not IdempotencyKey.objects.exists()
