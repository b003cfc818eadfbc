"""Retries of a POST with an idempotency key."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from tests.stack import Stack
from tweets.models import IdempotencyKey, Tweet
from tweets.tasks import clear_keys
from users.models import User

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
AT_ONCE = 50


def post(api: APIClient, user: User, message: str = "once", key: str = KEY) -> Any:
    return api.post(
        "/tweets",
        {"userId": user.pk, "message": message},
        format="json",
        headers={"idempotency-key": key},
    )


@pytest.mark.django_db
def test_the_same_key_gets_the_first_response_again_marked_as_a_replay(
    api: APIClient, ben: User
) -> None:
    first, again = post(api, ben), post(api, ben)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert dict(again.headers) == {**first.headers, "Idempotency-Replayed": "true"}
    assert Tweet.objects.get().message == "once"


@pytest.mark.django_db
def test_a_retry_whose_tweet_has_been_deleted_gets_a_410_and_stores_nothing(
    api: APIClient, ben: User
) -> None:
    tweet_id = post(api, ben).json()["id"]
    api.delete(f"/tweets/{tweet_id}")
    for _ in range(2):
        answer = post(api, ben)
        detail = (
            f"Tweet {tweet_id} was posted with this Idempotency-Key and has been deleted since."
        )
        assert (answer.status_code, answer.json()) == (410, {"detail": detail})
    assert post(api, ben, "another").status_code == 422
    assert not Tweet.objects.exists()


@pytest.mark.django_db
def test_another_body_with_the_same_key_gets_a_422(api: APIClient, ben: User) -> None:
    post(api, ben)
    answer = post(api, ben, "twice")
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == ["Idempotency-Key"]
    assert Tweet.objects.count() == 1


@pytest.mark.django_db
def test_two_users_can_use_the_same_key(api: APIClient, ben: User, alyssa: User) -> None:
    assert post(api, ben).json()["id"] != post(api, alyssa).json()["id"]
    assert Tweet.objects.count() == 2


@pytest.mark.django_db
def test_an_error_is_not_stored(api: APIClient, ben: User) -> None:
    assert post(api, ben, "").status_code == 400
    assert post(api, ben).status_code == 201


@pytest.mark.django_db
def test_an_unknown_author_gets_a_400_even_with_a_key(api: APIClient, ben: User) -> None:
    answer = post(api, User(pk=999_999))
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["userId"]


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "a\0"])
def test_an_invalid_key_gets_a_400_that_names_the_header(
    api: APIClient, ben: User, key: str
) -> None:
    answer = post(api, ben, key=key)
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["Idempotency-Key"]
    assert not Tweet.objects.exists()


@pytest.mark.django_db
def test_a_key_is_valid_for_24_hours(api: APIClient, ben: User) -> None:
    first = post(api, ben).json()
    age(hours=23.9)
    assert post(api, ben).json()["id"] == first["id"]
    clear_keys()
    assert IdempotencyKey.objects.exists()
    age(hours=0.2)
    second = post(api, ben, "another").json()
    assert second["message"] == "another"
    assert post(api, ben, "another").json() == second
    age(hours=26)
    clear_keys()
    assert not IdempotencyKey.objects.exists()


def age(hours: float) -> None:
    key = IdempotencyKey.objects.get()
    key.created_at -= timedelta(hours=hours)
    key.save()
    assert key.created_at < timezone.now()


@pytest.mark.django_db
def test_a_post_with_a_key_wakes_the_workers_once(
    api: APIClient, ben: User, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        post(api, ben)
        post(api, ben)
    assert len(callbacks) == 1


def post_until_answered(address: str, user: User) -> tuple[int, bytes]:
    """Retry a POST until there is a response. Return its status code and body."""
    body = {"userId": str(user.pk), "message": "once"}
    with httpx.Client(base_url=address, timeout=10, trust_env=False, verify=False) as client:
        while True:
            try:
                answer = client.post("/tweets", json=body, headers={"Idempotency-Key": KEY})
            except httpx.TransportError:
                time.sleep(0.5)  # all of them at once would keep the server from starting
                continue
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer.status_code, answer.content


def assert_all_got_the_same_tweet(answers: list[tuple[int, bytes]]) -> None:
    (status, body), *more = set(answers)
    assert not more
    assert len(answers) == AT_ONCE
    assert status == 201
    assert f'"id":"{Tweet.objects.get().pk}"'.encode() in body


def test_50_parallel_posts_create_one_tweet(stack: Stack, ben: User) -> None:
    stack.start_web(processes=2)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(
            threads.map(lambda _: post_until_answered(stack.address, ben), range(AT_ONCE))
        )
    assert_all_got_the_same_tweet(answers)


@pytest.mark.parametrize("stored", [True, False])
def test_retries_after_a_killed_web_server_create_one_tweet(
    stack: Stack, ben: User, stored: bool
) -> None:
    """The server dies while its statement waits for a lock. The statement commits or is aborted."""
    stack.start_web()
    port = int(stack.address.rpartition(":")[2])
    with (
        psycopg.connect(stack.env["DATABASE_URL"]) as holder,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        holder.execute("LOCK TABLE tweets_tweet IN SHARE MODE")
        pending = [threads.submit(post_until_answered, stack.address, ben) for _ in range(AT_ONCE)]
        waiting = (
            "SELECT pid FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        with connection.cursor() as cursor:
            while not cursor.rowcount > 0:
                cursor.execute(waiting)
            stack.kill("web")
            if not stored:
                cursor.execute(f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS waiting")
        holder.rollback()
        stack.start_web(port)
        assert_all_got_the_same_tweet([answer.result() for answer in pending])
