"""Following and unfollowing over the API."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connections
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.factories import TweetFactory
from tests.psql import connect, sessions_that_wait_for_a_lock
from tests.site import Site
from tests.stack import wait_until
from users.following import FOLLOW
from users.models import Follow, User

METHODS = pytest.mark.parametrize("method", ["put", "delete"])


def send(method: str, follower: User | int | str, followed: User | int | str) -> Any:
    """Send the request on a connection of the thread's own."""
    ids = [user.pk if isinstance(user, User) else user for user in (follower, followed)]
    api = APIClient(raise_request_exception=False)
    return getattr(api, method)(f"/users/{ids[0]}/followed/{ids[1]}")


def in_thread(*args: Any) -> Any:
    try:
        return send(*args)
    finally:
        connections.close_all()


@pytest.mark.django_db
def test_a_put_follows_and_a_delete_unfollows(ben: User, alyssa: User) -> None:
    for _ in range(2):
        followed = send("put", ben, alyssa)
        assert (followed.status_code, followed.content) == (204, b"")
        assert list(Follow.objects.values_list("follower", "followed")) == [(ben.pk, alyssa.pk)]
    for _ in range(2):
        unfollowed = send("delete", ben, alyssa)
        assert (unfollowed.status_code, unfollowed.content) == (204, b"")
        assert not Follow.objects.exists()


@pytest.mark.django_db
def test_only_the_named_follow_is_deleted(
    ben: User, alyssa: User, louis: User, follow: Callable[[User, User], Follow]
) -> None:
    follow(ben, alyssa), follow(alyssa, ben), follow(ben, louis), follow(louis, alyssa)
    send("delete", ben, alyssa)
    kept = {(alyssa.pk, ben.pk), (ben.pk, louis.pk), (louis.pk, alyssa.pk)}
    assert set(Follow.objects.values_list("follower", "followed")) == kept


@pytest.mark.django_db
@METHODS
@pytest.mark.parametrize("unknown", ["0", "999999", str(2**63), "9" * 19])
def test_an_unknown_user_is_named_in_the_404(ben: User, method: str, unknown: str) -> None:
    for answer in (send(method, unknown, ben), send(method, ben, unknown)):
        assert answer.status_code == 404
        assert answer.json()["detail"] == f"There is no user {unknown}."


@pytest.mark.django_db
def test_nobody_can_follow_themselves(ben: User) -> None:
    refused = send("put", ben, ben)
    assert refused.status_code == 400
    assert refused.json()["detail"] == "followed_id: Users can't follow themselves."
    assert send("delete", ben, ben).status_code == 204
    assert send("put", 999999, 999999).status_code == 404


@pytest.mark.django_db
def test_a_follow_shows_at_the_next_read_and_an_unfollow_too(
    api: APIClient, ben: User, alyssa: User
) -> None:
    TweetFactory.create(author=alyssa, message="hi")

    def timeline() -> list[str]:
        page = api.get(f"/tweets/followed/{ben.pk}").json()
        return [tweet["message"] for tweet in page]

    for _ in range(2):
        assert timeline() == []
        send("put", ben, alyssa)
        assert timeline() == ["hi"]
        send("delete", ben, alyssa)


def test_over_http_a_follow_brings_tweets_and_an_unfollow_takes_them_away(site: Site) -> None:
    ben, eva = (site.client(site.login(name)) for name in ("ben", "eva"))
    ids = [client.get("/me").json()["id"] for client in (ben, eva)]
    posted = eva.post("/tweets", json={"message": "only for followers"}).json()
    path = f"/users/{ids[0]}/followed/{ids[1]}"

    def is_on_the_timeline() -> bool:
        return posted in ben.get(f"/tweets/followed/{ids[0]}?limit=200").json()

    assert ben.delete(path).status_code == 204
    assert not is_on_the_timeline()
    assert ben.put(path).status_code == 204
    assert is_on_the_timeline()
    assert [user["id"] for user in ben.get(f"/users/{ids[0]}/followed").json()].count(ids[1]) == 1
    assert ben.delete(path).status_code == 204
    assert not is_on_the_timeline()


@pytest.mark.django_db(transaction=True)
@METHODS
def test_identical_requests_at_once_all_succeed(ben: User, alyssa: User, method: str) -> None:
    for _ in range(5):
        send("delete" if method == "put" else "put", ben, alyssa)
        with ThreadPoolExecutor(4) as threads:
            sent = [threads.submit(in_thread, method, ben, alyssa) for _ in range(4)]
        assert [one.result().status_code for one in sent] == [204] * 4
    assert Follow.objects.count() == (method == "put")


def while_deleting(gone: User, *request: Any) -> Any:
    """Return the response to a request that waits for the deletion of a user."""
    with connect() as deletion, ThreadPoolExecutor(1) as threads:
        deletion.execute(
            "DELETE FROM users_follow WHERE %s IN (follower_id, followed_id)", [gone.pk]
        )
        deletion.execute("DELETE FROM users_user WHERE id = %s", [gone.pk])
        sent = threads.submit(in_thread, *request)
        wait_until(sessions_that_wait_for_a_lock)
        deletion.commit()
        return sent.result()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("gone", ["ben", "alyssa"])
@pytest.mark.parametrize("method", ["put", "delete"])
def test_a_user_who_is_being_deleted_is_a_404(
    ben: User, alyssa: User, follow: Callable[[User, User], Follow], gone: str, method: str
) -> None:
    if method == "delete":
        follow(ben, alyssa)
    leaving = {"ben": ben, "alyssa": alyssa}[gone]
    answer = while_deleting(leaving, method, ben, alyssa)
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"There is no user {leaving.pk}."
    assert not Follow.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_repeated_follow_of_a_user_who_is_being_deleted_does_not_deadlock(
    ben: User, alyssa: User, follow: Callable[[User, User], Follow]
) -> None:
    follow(ben, alyssa)
    with connect() as deletion, ThreadPoolExecutor(1) as threads:
        # It has locked ben, by the trigger, and not alyssa yet.
        deletion.execute("DELETE FROM users_follow WHERE followed_id = %s", [alyssa.pk])
        sent = threads.submit(in_thread, "put", ben, alyssa)
        wait_until(sessions_that_wait_for_a_lock)
        deletion.execute("DELETE FROM users_user WHERE id = %s", [alyssa.pk])
        deletion.commit()
        assert sent.result().status_code == 404


@pytest.mark.django_db(transaction=True)
def test_follows_of_the_same_user_do_not_wait_for_each_other(
    ben: User, alyssa: User, louis: User
) -> None:
    with connect() as other:
        psycopg.RawCursor(other).execute(FOLLOW, [ben.pk, alyssa.pk])
        assert send("put", louis, alyssa).status_code == 204


@pytest.mark.django_db
def test_an_open_api_does_not_limit_follows_but_one_with_tokens_does(
    ben: User, alyssa: User, settings: Settings
) -> None:
    settings.TWIT_LIMITS = {}
    assert "X-RateLimit-Limit" not in send("put", ben, alyssa)
    settings.TWIT_OPEN_API = False
    api = APIClient()
    api.force_authenticate(ben)
    for method, remaining in ((api.put, "399"), (api.delete, "398")):
        answer = method(f"/users/{ben.pk}/followed/{alyssa.pk}")
        assert answer.status_code == 204
        assert (answer["X-RateLimit-Limit"], answer["X-RateLimit-Remaining"]) == ("400", remaining)
    assert api.get(f"/users/{ben.pk}/followed")["X-RateLimit-Limit"] == "900"
