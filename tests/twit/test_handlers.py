"""Errors outside of the API's views, and what no error has: an ETag."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from users.models import User

pytestmark = pytest.mark.django_db


def test_a_bad_host_gets_a_400_in_json() -> None:
    response = Client().get("/", headers={"host": "bad host"})
    assert (response.status_code, response.json()) == (400, {"detail": "Bad request."})


def test_staff_without_a_permission_get_a_403_in_json(ben: User) -> None:
    ben.is_staff = True
    ben.save()
    client = Client()
    client.force_login(ben)
    response = client.get("/admin/users/user/")
    assert (response.status_code, response.json()) == (403, {"detail": "Permission denied."})


def test_an_unknown_path_gets_a_404_in_json() -> None:
    response = Client().get("/nowhere?secret=1")
    expected = {"detail": "There is nothing at /nowhere."}
    assert (response.status_code, response.json()) == (404, expected)


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_defect_gets_a_500_in_json_that_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("api.paging.Window.from_query", fail)
    response = Client(raise_request_exception=False).get("/tweets", headers={"accept": accept})
    assert (response.status_code, response.json()) == (500, {"detail": "Internal server error."})


@pytest.fixture
def _read_only(transactional_db: None, ben: User) -> Iterator[None]:
    """Let Postgres refuse writes, as a replica does."""
    ben.is_staff = ben.is_superuser = True
    ben.set_password("right")
    ben.save()
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    # As if it became a replica during the request.
    connection.health_check_done = True  # type: ignore[attr-defined]
    yield
    connection.close()


@pytest.mark.usefixtures("_read_only")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tweets", {"userId": "{user}", "message": "hello"}),
        ("/admin/login/?next=/admin/", {"username": "ben", "password": "right"}),
    ],
)
def test_a_write_to_a_read_only_postgres_gets_a_503_in_json(
    ben: User, path: str, body: dict[str, str]
) -> None:
    data = {name: value.format(user=ben.pk) for name, value in body.items()}
    response = Client(raise_request_exception=False).post(path, data)
    assert response.status_code == 503
    assert response["Retry-After"] == "1"
    assert list(response.json()) == ["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/tweets/999999", 404), ("/nowhere", 404), ("/tweets?limit=0", 400), ("/auth/login", 405)],
)
@pytest.mark.parametrize("known", [None, "*", '"other"'])
def test_an_error_has_no_etag_and_is_never_not_modified(
    api: APIClient, path: str, status: int, known: str | None
) -> None:
    headers: Any = {"if-none-match": known} if known else {}
    response = api.get(path, headers=headers)
    assert response.status_code == status
    assert "ETag" not in response


@pytest.mark.parametrize("known", ["*", '"other"'])
def test_responses_to_posts_have_no_etag_and_ignore_a_known_one(
    api: APIClient, ben: User, known: str
) -> None:
    ben.set_password("right")
    ben.save()
    tweet = {"userId": ben.pk, "message": "hi"}
    credentials = {"username": "ben", "password": "right"}
    for path, body, status in (("/tweets", tweet, 201), ("/auth/login", credentials, 200)):
        response = api.post(path, body, headers={"if-none-match": known})
        assert response.status_code == status
        assert "ETag" not in response
