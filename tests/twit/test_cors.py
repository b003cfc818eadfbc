"""Pages of the origins in TWIT_CORS_ORIGINS may use the API from a browser."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client, override_settings

from api.headers import HEADERS
from tests.site import Site
from tests.stack import Stack

APP = {"Origin": "https://app.example"}
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,if-none-match",
}
CORS = "corsheaders.middleware.CorsMiddleware"


@pytest.fixture(scope="module")
def web(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server for two apps, with a limit of one post."""
    folder = tmp_path_factory.mktemp("cors")
    stack = Stack(folder, site.env["DATABASE_URL"], site.env["REDIS_URL"])
    origins = "https://app.example,http://localhost:5173"
    yield stack.start_web(TWIT_OPEN_API="off", TWIT_CORS_ORIGINS=origins, TWIT_LIMIT_POSTS="1/1h")
    stack.stop()


def names(response: Any, header: str) -> set[str]:
    return {name.strip().lower() for name in response.headers.get(header, "").split(",")}


def may_read(response: Any) -> bool:
    """Return whether a browser shows the response to the app, which sent no cookies."""
    assert "Access-Control-Allow-Credentials" not in response.headers
    return bool(response.headers.get("Access-Control-Allow-Origin") == APP["Origin"])


@pytest.mark.parametrize("path", ["/tweets", "/auth/login", "/tweets/followed/1"])
def test_a_preflight_allows_the_headers_and_methods_of_the_api(
    web: httpx.Client, path: str
) -> None:
    answer = web.options(path, headers=APP | PREFLIGHT)
    assert answer.status_code == 200
    assert may_read(answer)
    asked = set(PREFLIGHT["Access-Control-Request-Headers"].split(","))
    assert names(answer, "Access-Control-Allow-Headers") >= asked
    assert names(answer, "Access-Control-Allow-Methods") >= {"get", "post", "put", "delete"}


def test_a_simple_request_can_be_read_with_all_documented_headers(web: httpx.Client) -> None:
    answer = web.get("/tweets", headers=APP)
    assert answer.status_code == 200
    assert may_read(answer)
    assert names(answer, "Access-Control-Expose-Headers") == {name.lower() for name in HEADERS}
    assert names(answer, "Vary") >= {"origin", "authorization", "cookie"}
    unchanged = web.get("/tweets", headers=APP | {"If-None-Match": answer.headers["ETag"]})
    assert (unchanged.status_code, may_read(unchanged)) == (304, True)


@pytest.mark.parametrize("origin", ["https://b.app.example", "http://app.example", "null"])
def test_pages_of_other_origins_can_read_nothing(web: httpx.Client, origin: str) -> None:
    foreign = {"Origin": origin}
    for answer in (
        web.get("/tweets", headers=foreign),
        web.options("/", headers=foreign | PREFLIGHT),
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "origin" in names(answer, "Vary")


def test_errors_can_be_read(web: httpx.Client, site: Site) -> None:
    token = {"Authorization": f"Bearer {site.login('cy')}"}
    long = web.post("/tweets", content=b"x" * 70_000, headers=APP)  # refused before Django
    answers = [
        web.post("/tweets", json={"message": "hello"}, headers=APP | headers)
        for headers in ({}, token, token)
    ]
    found = [(answer.status_code, may_read(answer)) for answer in (*answers, long)]
    assert found == [(401, True), (201, True), (429, True), (413, True)]
    assert "retry-after" in names(long, "Access-Control-Expose-Headers")


@pytest.mark.django_db
def test_a_failure_of_the_database_can_be_read() -> None:
    with (
        override_settings(
            MIDDLEWARE=[CORS, *settings.MIDDLEWARE], CORS_ALLOWED_ORIGINS=[APP["Origin"]]
        ),
        patch("tweets.displayed.page", side_effect=OperationalError),
    ):
        answer = Client().get("/tweets", headers=APP)
    assert (answer.status_code, may_read(answer)) == (503, True)


def test_it_is_off_by_default_and_costs_nothing(site: Site) -> None:
    answer = site.client().get("/tweets", headers=APP)
    assert not {name for name in answer.headers if name.startswith("access-control")}
    assert "origin" not in names(answer, "Vary")
    assert CORS not in settings.MIDDLEWARE
